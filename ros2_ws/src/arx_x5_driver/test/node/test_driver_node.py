# SPDX-License-Identifier: Apache-2.0
"""The node over ROS: life cycle, services, status, parameters, faults of the arm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.context import Context
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from arx_x5_driver.arms import LoopbackArm
from arx_x5_driver.node import ArxX5Driver
from uva_msgs.msg import DriverStatus
from uva_node_utils.lifecycle import StartupError

Start = Callable[..., Any]

START = np.array([0.0, 1.2, 1.3, 0.6, 0.0, 0.0])


def test_starts_stopped_and_publishes_what_it_measures(rig: Any) -> None:
    rig.wait_for_state("stopped")
    assert "not enabled yet" in rig.newest[DriverStatus].reason
    rig.wait(lambda: {JointState, PoseStamped, DiagnosticArray} <= rig.newest.keys())
    joints = rig.newest[JointState]
    assert list(joints.name) == ["joint1", "joint2", "joint3", "joint4", "joint5", "joint6", "gripper"]
    np.testing.assert_allclose(joints.position, [*START, 0.04])
    assert len(joints.velocity) == len(joints.effort) == 7
    assert rig.newest[PoseStamped].header.frame_id == "base_link"
    diagnostics = rig.newest[DiagnosticArray].status[0]
    assert diagnostics.name.endswith("/arx_x5_driver: control loop")
    # The same as in the status, by the same names.
    own = {"header", "reason", "limit_names", "limit_counts"}
    limits = {f"limit_{name}" for name in rig.newest[DriverStatus].limit_names}
    expected = {name for name in DriverStatus.get_fields_and_field_types() if name not in own} | limits
    assert {pair.key for pair in diagnostics.values} == expected | {"loop_work_p50", "loop_realtime"}
    assert JointTrajectory not in rig.newest


def test_stop_latches_until_enabled(rig: Any) -> None:
    rig.wait_for_state("stopped")
    rig.call("enable")
    rig.send_chunk(sequence=1)
    rig.wait_for_state("active")
    assert not rig.call("home").success
    answer = rig.call("stop")
    assert answer.success
    assert answer.message == "at rest until enable is called; stopped: stop was called"
    assert rig.status().state == "stopped"
    rig.send_chunk(sequence=2)
    rig.wait(lambda: rig.newest[DriverStatus].chunks_rejected == 1)
    assert rig.rejections()["not_enabled"] == 1
    answer = rig.call("home")
    assert not answer.success
    assert "stopped" in answer.message
    assert rig.call("enable").success
    assert rig.status().state == "holding"
    assert rig.call("home").success
    assert "home" in rig.status().reason


def test_dry_run_publishes_everything_and_sends_nothing(start: Start) -> None:
    arm = LoopbackArm(START, gripper_width=0.04)
    rig = start(arm, dry_run=True, enable_on_activate=True)
    rig.wait_for_state("holding")
    rig.send_chunk(sequence=1)
    rig.wait_for_state("active")
    rig.wait_for_state("holding")
    assert rig.newest[DriverStatus].dry_run
    moved_rad = np.abs(rig.newest[JointTrajectory].points[0].positions[:6] - START).max()
    assert moved_rad > 0.05
    np.testing.assert_array_equal(arm.read().position, START)


def test_an_isolated_arm_that_hangs_is_told_at_once_with_what_to_do(start: Start) -> None:
    parameters = {"loopback_position_rad": START.tolist(), "loopback_fault": "hang", "loopback_fault_after_s": 0.5}
    rig = start(arm="loopback", enable_on_activate=True, loopback_fault_duration_s=1.5, **parameters)
    rig.wait_for_state("holding")
    assert not rig.newest[DriverStatus].dry_run
    rig.wait_for_state("fault")
    measured = rig.newest[JointState].header.stamp
    silence_s = rig.status_stamp_s() - (measured.sec + measured.nanosec * 1e-9)
    assert 0.05 < silence_s < 0.3
    assert "power off and on" in rig.newest[DriverStatus].reason
    stamp = rig.newest[JointState].header.stamp
    rig.wait(lambda: rig.newest[JointState].header.stamp != stamp)
    assert rig.call("enable").success
    rig.wait_for_state("holding")


def test_after_a_crash_of_the_arms_process_the_node_can_be_configured_again(start: Start) -> None:
    parameters = {"loopback_position_rad": START.tolist(), "loopback_fault": "crash", "loopback_fault_after_s": 0.3}
    rig = start(arm="loopback", enable_on_activate=True, **parameters)
    rig.wait_for_state("fault")
    assert "was killed by SIGKILL; hold the arm" in rig.newest[DriverStatus].reason
    assert not rig.call("enable").success
    rig.driver.wind_down()
    rig.driver.autostart()
    rig.wait_for_state("holding")


def test_deactivation_and_activation(start: Start) -> None:
    rig = start(enable_on_activate=True)
    rig.wait_for_state("holding")
    rig.driver.trigger_deactivate()
    rig.wait_for_state("inactive")
    assert not rig.call("enable").success
    answer = rig.call("stop")
    assert not answer.success
    assert "the driver is inactive" in answer.message
    rig.driver.trigger_activate()
    rig.wait_for_state("holding")
    rig.driver.wind_down()
    rig.wait_for_state("unconfigured")
    rig.driver.autostart()
    rig.wait_for_state("holding")


def test_no_autostart(start: Start) -> None:
    rig = start(autostart=False)
    for _ in range(5):
        rig.executor.spin_once(timeout_sec=0.05)
    assert rig.driver.state_name == "unconfigured"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"velocity_fraction": 1.0, "joint_acceleration_rad_s2": 5.0}, "would take .* s to stop"),
        ({"home_position_rad": [9.0] * 6}, "home_position"),
    ],
)
def test_unfit_parameters_end_the_start(start: Start, parameters: dict[str, Any], message: str) -> None:
    rig = start(**parameters)
    with pytest.raises(StartupError, match=message):
        rig.driver.autostart()


def test_arm_without_can_interface(context: Context) -> None:
    overrides = [Parameter("can_interface", value="can77"), Parameter("autostart", value=False)]
    driver = ArxX5Driver(context=context, parameter_overrides=overrides)
    with pytest.raises(StartupError, match="no CAN interface 'can77'"):
        driver.autostart()
    driver.destroy_node()


def test_arm_that_must_not_be_left_with_torque(context: Context) -> None:
    with pytest.raises(StartupError, match="motors of the X5_umi must not be left with torque"):
        ArxX5Driver(context=context, parameter_overrides=[Parameter("on_shutdown", value="hold")])


def test_wrong_parameter_value(context: Context) -> None:
    with pytest.raises(StartupError, match="'arm' of arx_x5_driver must be one of sdk, loopback"):
        ArxX5Driver(context=context, parameter_overrides=[Parameter("arm", value="robot")])
