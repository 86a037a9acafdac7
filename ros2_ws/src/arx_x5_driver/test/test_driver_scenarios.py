# SPDX-License-Identifier: Apache-2.0
"""What the limits let through: motion inside them, and motion up to them; and that the witness would see a breach."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from arx_x5_driver.chunk import Chunk
from arx_x5_driver.parameters import DriverParameters
from arx_x5_driver.rules.rules import CLIP, REJECT, STOP

LOW_START = np.array([0.0, 0.92, 0.80, -0.96, 0.0, 0.0])  # of the X5: 5.5 cm above the table, looking down


def run_chunk(witness: Any, positions: np.ndarray, quaternions: np.ndarray, duration_s: float) -> None:
    """Offer poses 0.1 s apart and let time pass."""
    n = len(positions)
    chunk = Chunk(
        sequence=witness.rig.snapshot().chunk_sequence + 1,
        frame="base_link",
        stamp_s=0.0,
        times_s=0.1 * np.arange(1, n + 1),
        positions=positions,
        quaternions=quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
        widths=np.full(n, 0.04),
    )
    witness.offer(chunk)
    witness.run(duration_s)


def run_straight(witness: Any, step_m: tuple[float, ...], duration_s: float) -> float:
    """Offer 16 equal steps from where the arm is; how far it got [m]."""
    start = witness.rig.pose
    positions = start.position + np.arange(1, 17)[:, np.newaxis] * np.array(step_m)
    run_chunk(witness, positions, np.tile(start.quaternion, (16, 1)), duration_s)
    return float((witness.rig.pose.position - start.position) @ step_m) / float(np.linalg.norm(step_m))


@pytest.mark.parametrize("seed", range(4))
def test_no_run_of_legal_chunks_breaks_a_limit(make_witness: Any, sdk_kinematics: Any, seed: int) -> None:
    """Chunks that are all accepted and lead anywhere: out of reach, into the table, through singularities."""
    random = np.random.default_rng(seed)
    witness = make_witness(sdk_kinematics, LOW_START)
    for _ in range(4):
        pose = witness.rig.pose
        steps = random.uniform(-1.0, 1.0, 3) * random.choice([0.02, 0.05]) + random.uniform(-0.005, 0.005, (16, 3))
        turns = np.cumsum(random.normal(0.0, random.choice([0.0, 0.02, 0.05]), (16, 4)), axis=0)
        run_chunk(witness, pose.position + np.cumsum(steps, axis=0), pose.quaternion + turns, 0.8)
    assert witness.rig.snapshot().chunks_accepted == 4
    witness.audit()


@pytest.mark.parametrize(
    "step_m",
    [
        pytest.param((0.03, 0.0, 0.0), id="straight out to the reach limit"),
        pytest.param((0.03, 0.0, -0.02), id="forward and down"),
        pytest.param((0.0, 0.04, 0.0), id="sideways"),
        pytest.param((-0.03, 0.0, 0.0), id="back towards the base"),
    ],
)
def test_no_straight_way_breaks_a_limit(make_witness: Any, sdk_kinematics: Any, step_m: tuple[float, ...]) -> None:
    witness = make_witness(sdk_kinematics, LOW_START)
    assert run_straight(witness, step_m, 2.2) > 0.05, "a limit that stops the arm where it stands is easily kept"
    assert witness.rig.snapshot().chunks_accepted == 1
    witness.audit()


def test_a_gentle_way_along_the_table_is_not_slowed(make_witness: Any, sdk_kinematics: Any) -> None:
    """What the pushing task does: the check must not get in the way of motion inside the limits."""
    witness = make_witness(sdk_kinematics, LOW_START)
    start = witness.rig.pose
    down = start.position + np.linspace(0.0, 1.0, 16)[:, np.newaxis] * (np.array([0.32, 0.0, 0.026]) - start.position)
    run_chunk(witness, down, np.tile(start.quaternion, (16, 1)), 1.6)
    across = down[-1] + np.linspace(0.0, 0.15, 16)[:, np.newaxis] * [0.0, 1.0, 0.0]
    run_chunk(witness, across, np.tile(start.quaternion, (16, 1)), 2.0)
    np.testing.assert_allclose(witness.rig.pose.position, across[-1], atol=2e-3)
    assert set(witness.rig.snapshot().rule_counts.values()) == {0}


@pytest.mark.parametrize("gentle", [True, False])
def test_the_end_effector_is_moved_as_gently_as_asked(make_witness: Any, sdk_kinematics: Any, gentle: bool) -> None:
    asked = {"cartesian_acceleration_m_s2": 18.0, "cartesian_jerk_m_s3": 800.0} if gentle else {}
    witness = make_witness(sdk_kinematics, LOW_START, **asked)
    witness.acceleration_m_s2, witness.jerk_m_s3 = 18.0, 800.0
    assert run_straight(witness, (0.0, 0.07, 0.0), 2.0) > 0.25
    counts = witness.rig.snapshot().rule_counts
    assert (counts["cartesian_acceleration"] > 0) == (counts["cartesian_jerk"] > 0) == gentle
    with nullcontext() if gentle else pytest.raises(AssertionError, match="the end effector is accelerated"):
        witness.audit()


def test_a_turned_gripper_keeps_its_fingers_off_the_table(make_witness: Any, sdk_kinematics: Any) -> None:
    witness = make_witness(sdk_kinematics, LOW_START)
    start = witness.rig.pose
    turn = np.array([np.sin(0.5), 0.0, 0.0, np.cos(0.5)])  # about the tool's own axis: one finger goes down
    x, y, z, w = start.quaternion
    across = np.array(
        [x * turn[3] + w * turn[0], y * turn[3] + z * turn[0], z * turn[3] - y * turn[0], w * turn[3] - x * turn[0]]
    )
    shares = np.linspace(0.1, 1.0, 16)[:, np.newaxis]
    run_chunk(
        witness, np.tile([0.3, 0.0, 0.025], (16, 1)), start.quaternion + shares * (across - start.quaternion), 3.0
    )
    assert witness.rig.pose.position[2] > 0.03
    assert witness.rig.snapshot().rule_counts["table"] > 0
    witness.audit()


def test_the_arm_does_not_touch_itself(make_witness: Any, sdk_kinematics: Any) -> None:
    folded = np.array([0.0, 0.5, 0.0, 1.3, 0.0, 0.0])
    witness = make_witness(sdk_kinematics, folded, home_position_rad=[0.0, 1.5, 0.02, -1.5, 0.0, 0.0], **ANYWHERE)
    witness.rig.controller.home()
    witness.run(9.0)
    assert witness.rig.snapshot().rule_counts["self_collision"] > 0
    assert "moving to the home position" in witness.rig.snapshot().reason
    witness.audit()


def test_near_a_singularity_the_arm_is_slow(make_witness: Any, sdk_kinematics: Any) -> None:
    ways = []
    for slow in (8.0, 1e5):  # the condition number is 11 here
        witness = make_witness(sdk_kinematics, LOW_START, singularity_slow=slow, singularity_slowest=2.0 * slow)
        ways.append(run_straight(witness, (0.03, 0.0, 0.015), 0.8))
        assert (witness.rig.snapshot().rule_counts["singularity"] > 0) == (slow == 8.0)
        witness.audit()
    assert ways[0] < ways[1]


def test_home_keeps_the_limits(make_witness: Any, sdk_kinematics: Any) -> None:
    witness = make_witness(sdk_kinematics, LOW_START)
    witness.rig.controller.home()
    witness.run(4.0)
    assert witness.rig.snapshot().reason == "at the home position"
    witness.audit()


ANYWHERE = {"workspace_min_m": [-1.0, -1.0, -1.0], "table_height_m": -1.0}


@pytest.mark.parametrize(("action", "state"), [(CLIP, "active"), (REJECT, "holding"), (STOP, "stopped")])
@pytest.mark.parametrize("rule", ["table", "workspace", "gripper_range"])
def test_what_is_done_about_a_chunk_that_leads_beyond(make_witness: Any, rule: str, action: str, state: str) -> None:
    witness = make_witness(**{f"rule_{rule}": action})
    chunk = beyond(witness, rule)
    try:
        witness.rig.controller.offer(chunk, witness.rig.now_s)
    except ValueError as rejection:
        assert str(rejection).startswith(rule)
        assert action != CLIP
    witness.run(0.5)
    snapshot = witness.rig.snapshot()
    assert snapshot.state.value == state
    assert (snapshot.chunks_rejected, snapshot.chunks_accepted) == ((0, 1) if action == CLIP else (1, 0))
    assert snapshot.rule_counts[rule] == 1 or action == CLIP
    assert rule in snapshot.reason or action != STOP


@pytest.mark.parametrize(("action", "state"), [(CLIP, "active"), (REJECT, "holding"), (STOP, "stopped")])
def test_what_is_done_about_a_rule_that_breaks_in_motion(make_witness: Any, action: str, state: str) -> None:
    witness = make_witness(rule_cartesian_speed=action)
    pose = witness.rig.pose
    positions = pose.position + np.arange(1, 17)[:, np.newaxis] * [0.0, 0.08, 0.0]
    run_chunk(witness, positions, np.tile(pose.quaternion, (16, 1)), 0.4)
    snapshot = witness.rig.snapshot()
    assert snapshot.state.value == state
    assert snapshot.chunks_accepted == 1
    if action != CLIP:
        assert snapshot.rule_counts["cartesian_speed"] == 1
        assert "chunk 1 broke rule 'cartesian_speed'" in snapshot.reason
    witness.audit()


def test_what_the_guard_slows_breaks_no_rule(make_witness: Any) -> None:
    """A chunk that is legal without the guard is with it, also while the arm makes up for what it was slowed."""
    slow = {"guard": "slow", "guard_settle_s": 0.0, "guard_timeout_s": 0.4, "cartesian_speed_m_s": 0.2}
    witness = make_witness(rule_cartesian_speed=STOP, **slow)
    pose = witness.rig.pose
    positions = pose.position + np.arange(1, 17)[:, np.newaxis] * [0.0, 0.006, 0.0]
    run_chunk(witness, positions, np.tile(pose.quaternion, (16, 1)), 0.2)
    assert witness.rig.snapshot().rule_counts["guard"] == 0
    witness.rig.controller.report_divergence(1e6, witness.rig.now_s)
    witness.run(0.4)
    assert 70 <= witness.rig.snapshot().rule_counts["guard"] <= 81  # one in a period
    assert positions[5][1] - witness.rig.pose.position[1] > 0.005
    witness.run(0.9)
    assert witness.rig.snapshot().state.value == "active"
    np.testing.assert_allclose(witness.rig.pose.position, positions[14], atol=3e-3)
    assert witness.rig.snapshot().rule_counts["cartesian_speed"] == 0
    witness.check()


def test_the_witness_sees_motion(make_witness: Any, make_chunk: Any) -> None:
    """Guards the property tests against a controller that never moves."""
    witness = make_witness()
    before = witness.rig.pose.position
    witness.offer(replace(make_chunk(0.0, witness.rig.pose), stamp_s=-0.02, times_s=0.1 * np.arange(16)))
    witness.run(1.0)
    assert np.linalg.norm(witness.rig.pose.position - before) > 0.02
    witness.audit()


@pytest.mark.parametrize(
    ("step_m", "parameters", "message"),
    [
        ((0.0, 0.02, -0.01), {"table_height_m": -0.1}, "below the table's clearance"),
        ((0.0, 0.07, 0.0), {"joint_jerk_rad_s3": 1200.0}, "jerk"),
        ((0.0, 0.07, 0.0), {"cartesian_speed_m_s": 0.6}, "too fast"),
        ((0.0, 0.07, 0.0), {"joint_acceleration_rad_s2": 30.0}, "acceleration"),
    ],
)
def test_the_witness_sees_wrong_limits(
    make_witness: Any, sdk_kinematics: Any, step_m: tuple[float, ...], parameters: dict[str, Any], message: str
) -> None:
    """Guards its checks: these controllers believe in other limits than the default ones."""
    witness = make_witness(sdk_kinematics, LOW_START, **parameters)
    witness.expect(DriverParameters())
    run_straight(witness, step_m, 1.6)
    with pytest.raises(AssertionError, match=message):
        witness.audit()


def test_the_witness_sees_the_box(make_witness: Any, sdk_kinematics: Any) -> None:
    witness = make_witness(sdk_kinematics, LOW_START)
    witness.highest = np.array([0.75, 0.2, 0.75])
    run_straight(witness, (0.0, 0.03, 0.0), 1.6)
    with pytest.raises(AssertionError, match="out of the box"):
        witness.audit()


def beyond(witness: Any, rule: str) -> Chunk:
    """A chunk whose last step lies beyond a limit of single poses."""
    pose, now_s = witness.rig.pose, witness.rig.now_s
    way = {"table": [0.0, 0.0, -0.9], "workspace": [0.0, 0.9, 0.0], "gripper_range": [0.0, 0.01, 0.0]}[rule]
    shares = np.linspace(0.0, 1.0, 16)[:, np.newaxis]
    return Chunk(
        sequence=1,
        frame="base_link",
        stamp_s=now_s,
        times_s=now_s + 0.1 * np.arange(1, 17),
        positions=pose.position + shares * way,
        quaternions=np.tile(pose.quaternion, (16, 1)),
        widths=np.full(16, 0.2 if rule == "gripper_range" else 0.04),
    )
