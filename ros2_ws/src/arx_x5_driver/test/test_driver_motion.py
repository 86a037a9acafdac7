# SPDX-License-Identifier: Apache-2.0
"""What is made of targets: they are reached where they can be, and limited where not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from arx_x5_driver.arms.loopback import LoopbackArm
from arx_x5_driver.chunk import Chunk
from arx_x5_driver.control.state import State
from arx_x5_driver.geometry.kinematics import SdkKinematics
from arx_x5_driver.geometry.limits import LIMITS

Make = Callable[..., Any]


def speed(rig: Any) -> float:
    return float(np.abs(rig.commands[-1][1].velocity).max())


def test_unreachable_targets_brake_and_are_counted(make_rig: Make, make_chunk: Make) -> None:
    fast = {"velocity_fraction": 0.8, "joint_acceleration_rad_s2": 40.0, "joint_jerk_rad_s3": 2000.0}
    rig = make_rig(workspace_max_m=[2.0, 2.0, 2.0], **fast)  # the imaginary arm reaches 0.5 m
    rig.enable()
    chunk: Chunk = make_chunk(rig.now_s, rig.pose)
    away = chunk.positions[0] + np.linspace(0.0, 1.2, 16)[:, np.newaxis] * [0.0, 1.0, 0.0]
    rig.controller.offer(replace(chunk, positions=away), rig.now_s)
    rig.run(1.5)
    assert rig.snapshot().rule_counts["ik_failure"] > 0
    assert rig.controller.state is State.ACTIVE
    assert speed(rig) < 1e-3
    # It waits at the end of its reach, not somewhere before it.
    assert np.linalg.norm(rig.pose.position - rig.kinematics.ORIGIN) == pytest.approx(0.5, abs=2e-3)


def test_targets_stay_in_the_box_above_the_table_and_at_walking_pace(make_rig: Make, make_chunk: Make) -> None:
    rig = make_rig(
        workspace_max_m=[0.4, 0.55, 0.75], table_height_m=0.1, table_clearance_m=0.05, cartesian_speed_m_s=0.1
    )
    rig.enable()
    chunk: Chunk = make_chunk(rig.now_s, rig.pose)
    steps = np.linspace(0.0, 1.4, 16)[:, np.newaxis]
    rig.controller.offer(replace(chunk, positions=chunk.positions[0] + steps * [0.3, 0.0, -0.3]), rig.now_s)
    rig.run(1.6)
    poses = [rig.kinematics.forward(command.position) for _, command in rig.commands]
    track = np.array([pose.position for pose in poses])
    assert track[:, 0].max() <= 0.4 + 1e-6
    assert track[:, 2].min() >= 0.15 - 1e-6
    assert np.linalg.norm(np.diff(track, axis=0), axis=1).max() <= 0.1 * 0.005 + 1e-6
    counts = rig.snapshot().rule_counts
    assert min(counts["workspace"], counts["table"], counts["cartesian_speed"]) > 0


def test_gripper_range_is_kept_and_counted(make_rig: Make, make_chunk: Make) -> None:
    rig = make_rig()
    rig.enable()
    rig.controller.offer(make_chunk(rig.now_s, rig.pose, widths=np.full(16, 0.2)), rig.now_s)
    rig.run(1.5)
    assert rig.arm.read().gripper_width == pytest.approx(0.086, abs=1e-6)
    assert rig.snapshot().rule_counts["gripper_range"] > 0


def test_real_kinematics_follow_a_chunk(make_rig: Make, make_chunk: Make, sdk_kinematics: SdkKinematics) -> None:
    rig = make_rig(kinematics=sdk_kinematics, action_latency_s=0.02)
    rig.enable()
    chunk: Chunk = make_chunk(rig.now_s, rig.pose)
    rig.controller.offer(chunk, rig.now_s)
    rig.run(chunk.times_s[-2] - rig.now_s)
    way_m, turn_rad = rig.pose.distance(sdk_kinematics.forward(rig.commands[-1][1].position))
    assert np.linalg.norm(rig.pose.position - chunk.positions[-2]) < 1e-3
    assert (way_m, turn_rad) < (2e-3, 2e-3)
    assert rig.snapshot().rule_counts["ik_jump"] == 0


@pytest.mark.parametrize("measured_m", [0.095, 0.0865, -0.004])
def test_a_gripper_out_of_its_range_starts_where_it_is_and_moves_back_in(
    make_rig: Make, make_chunk: Make, measured_m: float
) -> None:
    rig = make_rig()
    rig.arm = LoopbackArm(rig.arm.read().position, measured_m, 0.02, clock=lambda: rig.now_s)
    rig.enable()
    rig.controller.offer(make_chunk(rig.now_s, rig.pose, widths=np.full(16, 0.05)), rig.now_s)
    rig.run(1.5)
    widths = np.array([measured_m, *(command.gripper_width for _, command in rig.commands)])
    assert widths[1] == measured_m
    assert np.abs(np.diff(widths)).max() <= 0.4 * LIMITS["X5_umi"].gripper_velocity_max * 0.005 + 1e-12
    assert widths[-1] == pytest.approx(0.05, abs=1e-4)
    assert (min(measured_m, 0.0) <= widths).all()
    assert (widths <= max(measured_m, 0.086)).all()
