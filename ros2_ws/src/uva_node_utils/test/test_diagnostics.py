# SPDX-License-Identifier: Apache-2.0
"""The status of a node as it arrives on /diagnostics."""

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from uva_node_utils.diagnostics import DiagnosticsPublisher, format_value


def test_values_are_written_for_people():
    assert [format_value(value) for value in (0.123456789, 12.0, 3, True, "x", float("nan"))] == [
        "0.123457",
        "12",
        "3",
        "True",
        "x",
        "nan",
    ]


@pytest.mark.system
def test_a_report_arrives(context, executor):
    node = rclpy.create_node("reporter", namespace="robot", context=context)
    executor.add_node(node)
    received = []
    node.create_subscription(DiagnosticArray, "/diagnostics", received.append, 10)
    levels = iter([DiagnosticStatus.WARN] + [DiagnosticStatus.OK] * 1000)
    diagnostics = DiagnosticsPublisher(
        node, "inference", lambda: (next(levels), "slow", {"rate_hz": 9.5, "chunks": 3}), period_s=0.05
    )
    for _ in range(100):
        executor.spin_once(timeout_sec=0.1)
        if len(received) == 2:
            break
    (status,) = received[0].status
    assert status.name == "robot/reporter: inference"
    assert status.hardware_id == "robot/reporter"
    assert status.message == "slow"
    assert [(pair.key, pair.value) for pair in status.values] == [("rate_hz", "9.5"), ("chunks", "3")]
    assert received[0].header.stamp.sec > 0
    assert received[1].status[0].level == DiagnosticStatus.OK
    diagnostics.destroy()
    node.destroy_node()
