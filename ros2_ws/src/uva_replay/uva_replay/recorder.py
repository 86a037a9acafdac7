# SPDX-License-Identifier: Apache-2.0
"""Record all topics, as they appear, into a rosbag2 mcap."""

from __future__ import annotations

import importlib
import time
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from uva_replay.definitions import InstalledTypes

DISCOVERY_PERIOD_S = 0.2
QUEUE_DEPTH = 200
BAG_VERSION = 9
# RMW_DURATION_INFINITE of rmw/time.h, as rosbag2 writes it
_INFINITE = QosTime(9223372036, 854775807)


class Recorder:
    """Subscribe to every topic that has a publisher, and write its messages unparsed.

    Everything happens in the callbacks of the node it is given; `close` after that node's executor has stopped.
    """

    def __init__(self, node: Node, path: Path) -> None:
        """Open the bag and start looking for topics.

        Args:
            node: Node to subscribe with.
            path: Folder of the bag; must not exist.
        """
        self._node = node
        self._types = InstalledTypes()
        self._writer = Writer(path, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        self._topics: set[str] = set()
        self._received_s: dict[str, float] = {}
        node.create_timer(DISCOVERY_PERIOD_S, self._subscribe_to_new_topics)

    def silence_s(self, topic: str) -> float:
        """Return for how long [s] nothing has come on a topic, infinite if nothing ever came."""
        received_s = self._received_s.get(self._node.resolve_topic_name(topic))
        return float("inf") if received_s is None else time.monotonic() - received_s

    def close(self) -> None:
        """Finish the bag."""
        self._writer.close()

    def _subscribe_to_new_topics(self) -> None:
        for topic, (type_name, *_) in self._node.get_topic_names_and_types():
            if topic in self._topics:
                continue
            publishers = self._node.get_publishers_info_by_topic(topic)
            if not publishers:
                continue
            self._topics.add(topic)
            self._types.load(type_name)
            connection = self._writer.add_connection(
                topic,
                type_name,
                typestore=self._types.store,
                offered_qos_profiles=[_recorded_qos(info.qos_profile) for info in publishers],
            )
            callback = partial(self._write, topic, connection)
            qos = _matching_qos(publishers)
            self._node.create_subscription(_message_class(type_name), topic, callback, qos, raw=True)

    def _write(self, topic: str, connection: Connection, data: bytes, info: dict[str, Any]) -> None:
        self._received_s[topic] = time.monotonic()
        self._writer.write(connection, info["received_timestamp"], data)


def _message_class(type_name: str) -> type:
    package, _, name = type_name.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def _matching_qos(publishers: list[TopicEndpointInfo]) -> QoSProfile:
    """Return the strictest profile that is compatible with all publishers."""
    profiles = [info.qos_profile for info in publishers]
    reliable = all(profile.reliability == ReliabilityPolicy.RELIABLE for profile in profiles)
    latched = all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in profiles)
    return QoSProfile(
        depth=QUEUE_DEPTH,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def _recorded_qos(profile: QoSProfile) -> Qos:
    """Return a publisher's profile in the bag library's terms, so that a player can offer the same."""
    return Qos(
        history=QosHistory[profile.history.name],
        depth=profile.depth,
        reliability=QosReliability[profile.reliability.name],
        durability=QosDurability[profile.durability.name],
        deadline=_INFINITE,
        lifespan=_INFINITE,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_INFINITE,
        avoid_ros_namespace_conventions=False,
    )
