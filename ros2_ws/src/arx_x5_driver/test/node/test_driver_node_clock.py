# SPDX-License-Identifier: Apache-2.0
"""The driver on a simulation's clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from builtin_interfaces.msg import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from uva_msgs.msg import DriverStatus


def test_a_clock_that_is_silent_is_reported_and_one_before_1970_is_ignored(start: Callable[..., Any]) -> None:
    rig = start(use_sim_time=True, enable_on_activate=True, state_latency_s=0.1)
    clock = rig.client.create_publisher(Clock, "clock", 1)
    rig.wait_for_state("holding")
    rig.wait(lambda: "use_sim_time is set and /clock is silent" in rig.warning())

    def tick(stamp: Time) -> None:
        for _ in range(20):
            clock.publish(Clock(clock=stamp))
            rig.spin(0.02)

    rig.wait(clock.get_subscription_count)
    tick(Time(sec=-5))
    rig.wait(lambda: JointState in rig.newest)
    assert rig.newest[JointState].header.stamp == Time()  # not before it
    for end in (Time(sec=2**31 - 1, nanosec=999_999_999), Time(sec=50)):
        tick(end)
        rig.wait(lambda e=end: abs(rig.newest[JointState].header.stamp.sec - e.sec) <= 1)
    assert rig.newest[DriverStatus].state == "holding"
    rig.wait(lambda: "use_sim_time" not in rig.warning())
