# SPDX-License-Identifier: Apache-2.0
"""Timers that go on whatever the ROS clock does.

One that jumps back, or a simulation's that has not begun, would silence a timer on it for that long.
"""

from __future__ import annotations

from collections.abc import Callable

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.timer import Timer


def steady_timer(node: Node, period_s: float, callback: Callable[[], None]) -> Timer:
    """A timer of the node on a clock that only goes on."""
    return node.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))
