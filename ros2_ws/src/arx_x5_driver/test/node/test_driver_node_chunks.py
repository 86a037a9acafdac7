# SPDX-License-Identifier: Apache-2.0
"""Chunks and divergence over ROS: what is executed, what is rejected, and from whom."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32
from trajectory_msgs.msg import JointTrajectory

from arx_x5_driver import chunk_inbox
from arx_x5_driver.messages import MAX_CHUNK_BYTES
from arx_x5_driver.node import EXECUTOR_THREADS
from uva_msgs.msg import ActionChunk, DriverStatus

Start = Callable[..., Any]


def test_chunk_moves_the_arm_and_is_held_at_its_end(rig: Any) -> None:
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


def test_bad_chunks_are_rejected_with_a_reason(rig: Any) -> None:
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
    assert rig.rejections() == {"not_finite": 1, "stale": 1, "length": 1}
    assert status.state == "holding"
    assert status.chunks_accepted == 0
    assert status.last_rejection.startswith("length:")
    rig.wait(lambda: "length:" in str(rig.newest.get(DiagnosticArray)))


def test_the_guard_hears_of_divergence(start: Start) -> None:
    rig = start(guard="hold", enable_on_activate=True)
    publisher = rig.client.create_publisher(Float32, "uva/divergence", 1)
    rig.wait_for_state("holding")
    assert np.isnan(rig.newest[DriverStatus].guard_divergence)
    rig.send_chunk(sequence=1)
    rig.wait_for_state("active")
    rig.wait(publisher.get_subscription_count)
    publisher.publish(Float32(data=0.25))
    rig.wait(lambda: rig.newest[DriverStatus].guard_divergence == 0.25)


def test_stamps_make_up_for_the_latency_of_measurements(start: Start) -> None:
    rig = start(state_latency_s=0.5)
    rig.wait(lambda: JointState in rig.newest)
    stamp = rig.newest[JointState].header.stamp
    age_s = rig.client.get_clock().now().nanoseconds * 1e-9 - (stamp.sec + stamp.nanosec * 1e-9)
    assert 0.5 < age_s < 1.5


def test_a_blind_guard_is_reported(start: Start) -> None:
    rig = start(enable_on_activate=True, guard="hold")
    rig.wait_for_state("holding")
    rig.wait(lambda: DiagnosticArray in rig.newest)
    rig.send_chunk(sequence=1)
    rig.wait(lambda: "the guard hears no divergence" in rig.newest[DiagnosticArray].status[0].message)


def test_commands_are_stamped_with_their_periods(rig: Any) -> None:
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


def test_a_message_that_is_too_long_is_not_even_read(start: Start) -> None:
    rig = start(enable_on_activate=True)
    rig.wait_for_state("holding")
    rig.send(b"\0" * (MAX_CHUNK_BYTES + 1))
    status = rig.wait_for_rejections(1)
    assert status.last_rejection == f"message: it has {MAX_CHUNK_BYTES + 1} bytes, limit {MAX_CHUNK_BYTES}"
    rig.send(b"\0\1\0\0" + b"\xff" * 100)
    status = rig.wait_for_rejections(2)
    assert status.last_rejection == "message: its 104 bytes are no ActionChunk"
    assert rig.rejections() == {"message": 2}
    assert status.state == "holding"


def test_stop_and_status_do_not_wait_for_a_chunk_to_be_read(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, release = threading.Event(), threading.Event()

    def read_slowly(_: bytes) -> ActionChunk:
        reading.set()
        release.wait()
        return ActionChunk()

    monkeypatch.setattr(chunk_inbox, "read_chunk", read_slowly)
    rig = start(threads=EXECUTOR_THREADS + 1, enable_on_activate=True)  # one for the client
    rig.wait_for_state("holding")
    try:
        rig.send_chunk(sequence=1)
        rig.wait(reading.is_set)
        assert rig.call("stop").success
        assert rig.status().state == "stopped"
        assert rig.call("enable").success
    finally:
        release.set()


def test_one_publisher_is_followed_until_it_is_silent(start: Start) -> None:
    rig = start(enable_on_activate=True, chunk_timeout_s=1.0)
    rig.wait_for_state("holding")
    rig.send_chunk(sequence=1)
    rig.wait(lambda: rig.newest[DriverStatus].chunks_accepted == 1)
    other = rig.add_node("other_policy").create_publisher(ActionChunk, "uva/action_chunk", 1)
    rig.send(rig.chunk(7), other)
    status = rig.wait_for_rejections(1)
    space = rig.options["namespace"]
    assert status.last_rejection == (
        f"source: it came from /{space}/other_policy while /{space}/client sends chunks; stop one of them"
    )
    assert (status.chunk_sequence, rig.rejections()) == (1, {"source": 1})
    rig.wait(lambda: "one of 2 publishers of chunks is followed: " in rig.warning())
    assert f"/{space}/client, /{space}/other_policy" in rig.warning()
    rig.spin(1.0)
    rig.send(rig.chunk(8), other)
    rig.wait(lambda: rig.newest[DriverStatus].chunk_sequence == 8)
    rig.send_chunk(sequence=2)
    assert "came from /" + space + "/client while" in rig.wait_for_rejections(2).last_rejection


def test_text_from_outside_is_cut_and_escaped(start: Start) -> None:
    rig = start(enable_on_activate=True)
    rig.wait_for_state("holding")

    def with_forged_line(chunk: ActionChunk) -> None:
        chunk.header.frame_id = "\x1b[2K\nall is well" + 10_000 * "x"

    rig.send_chunk(sequence=1, spoil=with_forged_line)
    status = rig.wait_for_rejections(1)
    assert status.last_rejection.startswith(r"frame: poses are in '\x1b[2K\nall is wellxxx")
    assert len(status.last_rejection) < 200


def test_a_chunk_that_comes_while_stopped_is_no_warning(rig: Any, capfd: pytest.CaptureFixture[str]) -> None:
    rig.wait_for_state("stopped")
    rig.send_chunk(sequence=1)
    assert rig.wait_for_rejections(1).last_rejection.startswith("not_enabled:")
    rig.call("enable")
    rig.send_chunk(sequence=2, spoil=lambda chunk: chunk.poses.clear())
    rig.wait_for_rejections(2)
    rig.spin(0.1)
    logged = capfd.readouterr().err
    assert "chunk 2 rejected, length" in logged
    assert "chunk 1" not in logged
