# SPDX-License-Identifier: Apache-2.0
"""Publish one status of a node on /diagnostics at a steady rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from uva_node_utils.timers import steady_timer
from uva_node_utils.topics import DIAGNOSTICS

__all__ = ["DiagnosticsPublisher", "Report", "format_value"]

# (level, message, values): level is DiagnosticStatus.OK, WARN, ERROR or STALE.
Report = tuple[bytes, str, Mapping[str, Any]]


class DiagnosticsPublisher:
    """Publish what `report` returns as the status "<node>: <name>", every `period_s`.

    <node> is the node's name with its namespace, as in "cell1/arx_x5_driver: control loop": two arms, and any two
    nodes of one name, have a status each. It is published whatever the life cycle state of the node is.
    """

    def __init__(self, node: Node, name: str, report: Callable[[], Report], period_s: float = 1.0) -> None:
        self._node = node
        self._node_name = node.get_fully_qualified_name().lstrip("/")
        self._name = f"{self._node_name}: {name}"
        self._report = report
        self._publisher = node.create_publisher(DiagnosticArray, DIAGNOSTICS, 10)
        self._timer = steady_timer(node, period_s, self.publish)

    def publish(self) -> None:
        """Publish now."""
        level, message, values = self._report()
        status = DiagnosticStatus(level=level, name=self._name, message=message, hardware_id=self._node_name)
        status.values = [KeyValue(key=key, value=format_value(value)) for key, value in values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def destroy(self) -> None:
        """Stop publishing."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)


def format_value(value: Any) -> str:
    """Write a value for people to read: floats with six significant digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
