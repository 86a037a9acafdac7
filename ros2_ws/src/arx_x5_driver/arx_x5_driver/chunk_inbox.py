# SPDX-License-Identifier: Apache-2.0
"""Chunks as they arrive: from one publisher at a time, read with bounds, and offered to the control loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from arx_x5_driver.control.chunk_source import ChunkSource
from arx_x5_driver.control.runtime import Runtime
from arx_x5_driver.messages import chunk_from_message, read_chunk
from arx_x5_driver.rules.chunk_gate import ChunkRejectedError
from arx_x5_driver.rules.rules import NOT_ENABLED, SOURCE
from uva_node_utils import topics
from uva_node_utils.conversions import printable


class ChunkInbox:
    """Read chunks for one runtime, and log those that it rejects."""

    def __init__(self, node: Node, runtime: Runtime, silence_s: float, ros_ahead_ns: Callable[[], int]) -> None:
        """Read nothing yet: `receive` is the callback of a raw subscription to the chunks.

        Args:
            node: for its logger and the graph.
            runtime: takes the chunks.
            silence_s: another publisher is followed after the first was silent for this long.
            ros_ahead_ns: by how much the ROS clock is ahead of the monotonic one.
        """
        self._node, self._runtime, self._ros_ahead_ns = node, runtime, ros_ahead_ns
        self._source = ChunkSource(silence_s)

    def receive(self, data: bytes, info: dict[str, Any]) -> None:
        """Offer a serialized chunk to the runtime; `info` is what the middleware says of the message."""
        now_s = time.monotonic()
        try:
            self._check_source(info, now_s)
            message = read_chunk(data)
        except ChunkRejectedError as rejection:
            self._runtime.reject(rejection)
            self._log("a chunk", rejection)
            return
        chunk = chunk_from_message(message, now_s, now_s + self._ros_ahead_ns() * 1e-9)
        try:
            self._runtime.offer(chunk, now_s)
        except ChunkRejectedError as rejection:
            self._log(f"chunk {chunk.sequence}", rejection)

    def publishers(self) -> dict[bytes, str]:
        """Return the node that publishes chunks for each publisher's global id."""
        return {
            bytes(info.endpoint_gid): printable(f"{info.node_namespace.rstrip('/')}/{info.node_name}")
            for info in self._node.get_publishers_info_by_topic(topics.ACTION_CHUNK)
        }

    def _check_source(self, info: dict[str, Any], now_s: float) -> None:
        gid = info.get("publisher_gid")  # ROS 2 Jazzy does not have it
        publisher = bytes(gid["data"]) if gid else b""
        if not self._source.accepts(publisher, now_s):
            names = self.publishers()
            sender, source = (names.get(gid, "an unknown node") for gid in (publisher, self._source.publisher))
            raise ChunkRejectedError(SOURCE, f"it came from {sender} while {source} sends chunks; stop one of them")

    def _log(self, chunk: str, rejection: ChunkRejectedError) -> None:
        # A policy goes on while the arm is stopped. rclpy wants one severity for each place that logs.
        logger = self._node.get_logger()
        if rejection.rule == NOT_ENABLED:
            logger.debug(f"{chunk} rejected, {rejection}")
        else:
            logger.warning(f"{chunk} rejected, {rejection}", throttle_duration_sec=1.0)
