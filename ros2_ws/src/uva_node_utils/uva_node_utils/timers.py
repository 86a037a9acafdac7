# SPDX-License-Identifier: Apache-2.0
"""Timers that run on whatever the ROS clock does.

A timer on the ROS clock is silent after the clock has jumped back, and before a simulation has started its clock.
"""

from __future__ import annotations

from collections.abc import Callable

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.timer import Timer


def steady_timer(node: Node, period_s: float, callback: Callable[[], None]) -> Timer:
    """Return a timer of the node on the steady clock, which never jumps."""
    return node.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))
