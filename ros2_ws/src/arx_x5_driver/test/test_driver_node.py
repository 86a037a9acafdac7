# SPDX-License-Identifier: Apache-2.0
"""The node over ROS, with a loopback arm: life cycle, chunks, services, status."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("arx5_interface")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Pose, PoseStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from arx_x5_driver import main
from arx_x5_driver.arm import Arm
from arx_x5_driver.arms import LoopbackArm
from arx_x5_driver.node import ArxX5Driver
from uva_msgs.msg import ActionChunk, DriverStatus
from uva_node_utils.lifecycle import StartupError
from uva_node_utils.time import seconds_to_duration, seconds_to_stamp

START = np.array([0.0, 1.2, 1.3, 0.6, 0.0, 0.0])


class Rig:
    """A driver and a client in one private context."""

    def __init__(self, context: Context, driven: Arm | None = None, **parameters: Any) -> None:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        options: dict[str, Any] = {"context": context, "namespace": f"driver_test_{os.getpid()}"}
        self.executor = SingleThreadedExecutor(context=context)
        self.client = Node("client", **options)
        self.newest: dict[type, Any] = {}
        for kind, topic in (
            (JointState, "x5/joint_states"),
            (PoseStamped, "x5/eef_pose"),
            (JointTrajectory, "x5/joint_command"),
            (DriverStatus, "x5/status"),
            (DiagnosticArray, "/diagnostics"),
        ):
            self.client.create_subscription(kind, topic, lambda m, k=kind: self.newest.update({k: m}), 10)
        self.chunks = self.client.create_publisher(ActionChunk, "uva/action_chunk", 1)
        self.services = {n: self.client.create_client(Trigger, f"x5/{n}") for n in ("enable", "stop", "home")}
        driven = None if "arm" in parameters else driven or LoopbackArm(START, gripper_width=0.04)
        self.driver = ArxX5Driver(driven, parameter_overrides=overrides, **options)
        for node in (self.client, self.driver):
            self.executor.add_node(node)

    def wait(self, condition: Callable[[], Any], timeout_s: float = 10.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, f"timeout; the last status was {self.newest.get(DriverStatus)}"
            self.executor.spin_once(timeout_sec=0.05)

    def status(self) -> DriverStatus:
        """A status that was taken after now."""
        now_s = self.client.get_clock().now().nanoseconds * 1e-9
        self.wait(lambda: self.status_stamp_s() > now_s)
        return self.newest[DriverStatus]

    def status_stamp_s(self) -> float:
        message = self.newest.get(DriverStatus)
        return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9 if message else 0.0

    def wait_for_state(self, state: str) -> None:
        self.wait(lambda: self.newest.get(DriverStatus) and self.newest[DriverStatus].state == state)

    def call(self, name: str) -> Trigger.Response:
        self.services[name].wait_for_service(5.0)
        future = self.services[name].call_async(Trigger.Request())
        self.wait(future.done)
        return future.result()

    def send_chunk(self, sequence: int, spoil: Callable[[ActionChunk], None] = lambda _: None) -> None:
        """Sixteen steps that end 4 cm beside the arm."""
        self.wait(lambda: PoseStamped in self.newest and self.chunks.get_subscription_count())
        start = self.newest[PoseStamped].pose
        chunk = ActionChunk(sequence=sequence, gripper_width=[0.05] * 16)
        chunk.header.frame_id = "base_link"
        chunk.header.stamp = seconds_to_stamp(self.client.get_clock().now().nanoseconds * 1e-9)
        for step in range(16):
            chunk.time_from_start.append(seconds_to_duration(0.1 * (step + 1)))
            pose = Pose(orientation=start.orientation)
            pose.position.x, pose.position.z = start.position.x, start.position.z
            pose.position.y = start.position.y + 0.04 * (step + 1) / 16
            chunk.poses.append(pose)
        spoil(chunk)
        self.chunks.publish(chunk)

    def close(self) -> None:
        self.driver.wind_down()
        self.driver.destroy_node()
        self.client.destroy_node()
        self.executor.shutdown()


@pytest.fixture
def context() -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context, args=["--ros-args", "--log-level", "warn"])
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture
def rig(context: Context) -> Iterator[Rig]:
    rig = Rig(context)
    yield rig
    rig.close()


def rejections(status: DriverStatus) -> dict[str, int]:
    counts = dict(zip(status.limit_names, status.limit_counts, strict=True))
    return {name: count for name, count in counts.items() if count}


def test_starts_stopped_and_publishes_what_it_measures(rig: Rig) -> None:
    rig.wait_for_state("stopped")
    assert "not enabled yet" in rig.newest[DriverStatus].reason
    rig.wait(lambda: {JointState, PoseStamped, DiagnosticArray} <= rig.newest.keys())
    joints = rig.newest[JointState]
    assert list(joints.name) == ["joint1", "joint2", "joint3", "joint4", "joint5", "joint6", "gripper"]
    np.testing.assert_allclose(joints.position, [*START, 0.04])
    assert len(joints.velocity) == len(joints.effort) == 7
    assert rig.newest[PoseStamped].header.frame_id == "base_link"
    diagnostics = rig.newest[DiagnosticArray].status[0]
    assert diagnostics.name == "arx_x5_driver: control loop"
    # The same as in the status, by the same names.
    own = {"header", "reason", "limit_names", "limit_counts"}
    limits = {f"limit_{name}" for name in rig.newest[DriverStatus].limit_names}
    expected = {name for name in DriverStatus.get_fields_and_field_types() if name not in own} | limits
    assert {pair.key for pair in diagnostics.values} == expected | {"loop_work_p50", "loop_realtime"}
    assert JointTrajectory not in rig.newest


def test_chunk_moves_the_arm_and_is_held_at_its_end(rig: Rig) -> None:
    rig.wait_for_state("stopped")
    assert rig.call("enable").success
    start_y = rig.newest[PoseStamped].pose.position.y
    rig.send_chunk(sequence=3)
    rig.wait_for_state("active")
    rig.wait_for_state("holding")
    status = rig.newest[DriverStatus]
    assert "the last step of chunk 3 is over" in status.reason
    assert (status.chunk_sequence, status.chunks_accepted, status.chunks_rejected) == (3, 1, 0)
    assert status.steps_executed + status.steps_dropped == 16
    assert 1.5 < status.chunk_age < 5.0
    assert 0.0 < status.loop_work_p99 < 1.0
    rig.status()
    assert rig.newest[PoseStamped].pose.position.y - start_y == pytest.approx(0.04, abs=3e-3)
    command = rig.newest[JointTrajectory]
    assert len(command.joint_names) == len(command.points[0].positions) == 7
    assert command.points[0].positions[6] == pytest.approx(0.05, abs=1e-3)
    rig.wait(
        lambda: np.allclose(
            rig.newest[JointTrajectory].points[0].positions, rig.newest[JointState].position, rtol=0.0, atol=1e-3
        )
    )


def test_bad_chunks_are_rejected_with_a_reason(rig: Rig) -> None:
    rig.wait_for_state("stopped")
    rig.call("enable")

    def with_nan(chunk: ActionChunk) -> None:
        chunk.poses[7].position.x = float("nan")

    def too_old(chunk: ActionChunk) -> None:
        chunk.header.stamp.sec -= 5

    def too_short(chunk: ActionChunk) -> None:
        chunk.gripper_width = chunk.gripper_width[:-1]

    for number, spoil in enumerate((with_nan, too_old, too_short), start=1):
        rig.send_chunk(sequence=number, spoil=spoil)
        rig.wait(lambda n=number: rig.newest[DriverStatus].chunks_rejected == n)
    status = rig.newest[DriverStatus]
    assert rejections(status) == {"not_finite": 1, "stale": 1, "length": 1}
    assert status.state == "holding"
    assert status.chunks_accepted == 0
    assert status.last_rejection.startswith("length:")
    rig.wait(lambda: "length:" in str(rig.newest.get(DiagnosticArray)))


def test_stop_latches_until_enabled(rig: Rig) -> None:
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
    assert rejections(rig.newest[DriverStatus])["not_enabled"] == 1
    answer = rig.call("home")
    assert not answer.success
    assert "stopped" in answer.message
    assert rig.call("enable").success
    assert rig.status().state == "holding"
    assert rig.call("home").success
    assert "home" in rig.status().reason


def test_dry_run_publishes_everything_and_sends_nothing(context: Context) -> None:
    arm = LoopbackArm(START, gripper_width=0.04)
    rig = Rig(context, arm, dry_run=True, enable_on_activate=True)
    rig.wait_for_state("holding")
    rig.send_chunk(sequence=1)
    rig.wait_for_state("active")
    rig.wait_for_state("holding")
    assert rig.newest[DriverStatus].dry_run
    moved_rad = np.abs(rig.newest[JointTrajectory].points[0].positions[:6] - START).max()
    assert moved_rad > 0.05
    np.testing.assert_array_equal(arm.read().position, START)
    rig.close()


def test_the_guard_hears_of_divergence(context: Context) -> None:
    rig = Rig(context, guard="hold", enable_on_activate=True)
    publisher = rig.client.create_publisher(Float32, "uva/divergence", 1)
    rig.wait_for_state("holding")
    assert np.isnan(rig.newest[DriverStatus].guard_divergence)
    rig.send_chunk(sequence=1)
    rig.wait_for_state("active")
    rig.wait(publisher.get_subscription_count)
    publisher.publish(Float32(data=0.25))
    rig.wait(lambda: rig.newest[DriverStatus].guard_divergence == 0.25)
    rig.close()


def test_stamps_make_up_for_the_latency_of_measurements(context: Context) -> None:
    rig = Rig(context, state_latency_s=0.5)
    rig.wait(lambda: JointState in rig.newest)
    stamp = rig.newest[JointState].header.stamp
    age_s = rig.client.get_clock().now().nanoseconds * 1e-9 - (stamp.sec + stamp.nanosec * 1e-9)
    assert 0.5 < age_s < 1.5
    rig.close()


def test_an_isolated_arm_that_hangs_is_told_at_once_with_what_to_do(context: Context) -> None:
    parameters = {"loopback_position_rad": START.tolist(), "loopback_fault": "hang", "loopback_fault_after_s": 0.5}
    rig = Rig(context, arm="loopback", enable_on_activate=True, loopback_fault_duration_s=1.5, **parameters)
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
    rig.close()


def test_after_a_crash_of_the_arms_process_the_node_can_be_configured_again(context: Context) -> None:
    parameters = {"loopback_position_rad": START.tolist(), "loopback_fault": "crash", "loopback_fault_after_s": 0.3}
    rig = Rig(context, arm="loopback", enable_on_activate=True, **parameters)
    rig.wait_for_state("fault")
    assert "was killed by SIGKILL; hold the arm" in rig.newest[DriverStatus].reason
    assert not rig.call("enable").success
    rig.driver.wind_down()
    rig.driver.autostart()
    rig.wait_for_state("holding")
    rig.close()


def test_a_blind_guard_is_reported(context: Context) -> None:
    rig = Rig(context, enable_on_activate=True, guard="hold")
    rig.wait_for_state("holding")
    rig.wait(lambda: DiagnosticArray in rig.newest)
    rig.send_chunk(sequence=1)
    rig.wait(lambda: "the guard hears no divergence" in rig.newest[DiagnosticArray].status[0].message)
    rig.close()


def test_commands_are_stamped_with_their_periods(rig: Rig) -> None:
    """So that who listens can tell speed and acceleration."""
    rig.wait_for_state("stopped")
    rig.call("enable")
    commands: list[JointTrajectory] = []
    rig.client.create_subscription(JointTrajectory, "x5/joint_command", commands.append, 500)
    rig.send_chunk(sequence=1)
    rig.wait_for_state("active")
    rig.wait_for_state("holding")
    stamps = np.array([c.header.stamp.sec + c.header.stamp.nanosec * 1e-9 for c in commands])
    positions = np.array([c.points[0].positions for c in commands])
    velocities = np.array([c.points[0].velocities for c in commands])
    # After a pause of more than two periods the motion goes on as if two had passed.
    normal = np.diff(stamps) < 0.0099
    assert normal.sum() >= 10  # even where the machine has little time for the loop
    difference = np.diff(positions, axis=0)[normal] / np.diff(stamps)[normal, np.newaxis]
    assert np.abs(difference).max() > 0.02
    np.testing.assert_allclose(difference, velocities[1:][normal], atol=0.02)
    # What a joint_trajectory_controller asks of a message: its joints, numbers for each, and an end that is to come.
    last = commands[-1].points[-1]
    assert set(commands[-1].joint_names) == {*(f"joint{i}" for i in range(1, 7)), "gripper"}
    assert len(last.positions) == len(last.velocities) == len(last.accelerations) == 7
    assert (last.time_from_start.sec, last.time_from_start.nanosec) == (0, 20_000_000)


def test_deactivation_and_activation(context: Context) -> None:
    rig = Rig(context, enable_on_activate=True)
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
    rig.close()


def test_no_autostart(context: Context) -> None:
    rig = Rig(context, autostart=False)
    for _ in range(5):
        rig.executor.spin_once(timeout_sec=0.05)
    assert rig.driver.state_name == "unconfigured"
    rig.close()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"velocity_fraction": 1.0, "joint_acceleration_rad_s2": 5.0}, "would take .* s to stop"),
        ({"home_position_rad": [9.0] * 6}, "home_position"),
    ],
)
def test_unfit_parameters_end_the_start(context: Context, parameters: dict[str, Any], message: str) -> None:
    rig = Rig(context, **parameters)
    with pytest.raises(StartupError, match=message):
        rig.driver.autostart()
    rig.close()


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


@pytest.mark.parametrize("priority", [20, 0])
def test_the_process_gives_way_to_others_only_if_the_loop_does(monkeypatch: pytest.MonkeyPatch, priority: int) -> None:
    """A thread of the middleware that is pushed aside would hold up the loop as well."""
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(main, "ArxX5Driver", lambda: SimpleNamespace(realtime_priority=priority))
    monkeypatch.setattr(main, "make_realtime", lambda *arguments: raised.append(arguments))
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    main.make_node()
    release.set()
    thread.join()
    threads = {os.getpid(), thread.native_id}
    assert threads <= {number for _, number in raised} if priority else not raised
    assert {value for value, _ in raised} <= {main.OTHERS_PRIORITY}
