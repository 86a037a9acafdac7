# SPDX-License-Identifier: Apache-2.0
"""The subscription to chunks: one publisher at a time, short messages only, offered to the control loop."""

from __future__ import annotations

import time
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node

from arx_x5_driver.control.chunk_source import ChunkSource
from arx_x5_driver.control.clock_offset import ClockOffset
from arx_x5_driver.control.runtime import Runtime
from arx_x5_driver.messages import chunk_from_message, read_chunk, shown
from arx_x5_driver.rules.chunk_gate import ChunkRejectedError
from arx_x5_driver.rules.rules import NOT_ENABLED, SOURCE
from uva_msgs.msg import ActionChunk

TOPIC = "uva/action_chunk"

_QUEUE = 1  # an older chunk is worth nothing once a newer one is here
_NAMES = 5  # the most that a message lists


class ChunkInput:
    """Receives chunks in a callback group of its own, so that nothing else waits while one is read."""

    def __init__(self, node: Node, runtime: Runtime, ros_ahead: ClockOffset, silence_s: float) -> None:
        """Subscribe.

        Args:
            node: the node that subscribes and logs.
            runtime: takes the chunks.
            ros_ahead: how far the ROS clock is ahead of the driver's.
            silence_s: see `ChunkSource`.
        """
        self._node = node
        self._runtime = runtime
        self._ros_ahead = ros_ahead
        self._source = ChunkSource(silence_s)
        group = MutuallyExclusiveCallbackGroup()
        self._subscription = node.create_subscription(
            ActionChunk, TOPIC, self._receive, _QUEUE, raw=True, callback_group=group
        )

    def destroy(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def warning(self) -> str:
        """Return a sentence about more publishers than one, empty if there is no need for it."""
        names = sorted(self._publishers().values())
        if len(names) < 2:
            return ""
        listed = ", ".join(names[:_NAMES]) + (", ..." if len(names) > _NAMES else "")
        return f"one of {len(names)} publishers of chunks is followed: {listed}"

    def _receive(self, data: bytes, info: dict[str, Any]) -> None:
        now_s = time.monotonic()
        try:
            self._check_source(info, now_s)
            message = read_chunk(data)
        except ChunkRejectedError as rejection:
            self._runtime.reject(rejection)
            self._log("a chunk", rejection)
            return
        chunk = chunk_from_message(message, now_s, now_s + self._ros_ahead.ns * 1e-9)
        try:
            self._runtime.offer(chunk, now_s)
        except ChunkRejectedError as rejection:
            self._log(f"chunk {chunk.sequence}", rejection)

    def _check_source(self, info: dict[str, Any], now_s: float) -> None:
        gid = info.get("publisher_gid")  # ROS 2 Jazzy does not have it: there, all publishers count as one
        publisher = bytes(gid["data"]) if gid else b""
        if not self._source.accepts(publisher, now_s):
            names = self._publishers()
            sender, source = (names.get(gid, "an unknown node") for gid in (publisher, self._source.publisher))
            raise ChunkRejectedError(SOURCE, f"it came from {sender} while {source} sends chunks; stop one of them")

    def _publishers(self) -> dict[bytes, str]:
        """Return the node behind each publisher's global id."""
        return {
            bytes(info.endpoint_gid): shown(f"{info.node_namespace.rstrip('/')}/{info.node_name}")
            for info in self._node.get_publishers_info_by_topic(TOPIC)
        }

    def _log(self, chunk: str, rejection: ChunkRejectedError) -> None:
        # A policy goes on while the arm is stopped. rclpy wants one severity for each place that logs.
        if rejection.rule == NOT_ENABLED:
            self._node.get_logger().debug(f"{chunk} rejected, {rejection}")
        else:
            self._node.get_logger().warning(f"{chunk} rejected, {rejection}", throttle_duration_sec=1.0)
