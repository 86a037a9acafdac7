# SPDX-License-Identifier: Apache-2.0
"""Whatever comes in, no command breaks a limit, and everything that was rejected is counted exactly once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from arx_x5_driver.arm import ArmCommand, ArmState
from arx_x5_driver.arms import LoopbackArm
from arx_x5_driver.chunk import REJECTIONS, Chunk, ChunkRejectedError
from arx_x5_driver.limits import LIMITS
from arx_x5_driver.state import RequestRefusedError, State

EPS = 1e-9
ACCELERATION = np.array([15.0] * 6)
FRACTION = 0.4
LIMIT = LIMITS["X5_umi"]
# The end effector's limits by default, with the tolerances that the README states.
LOWEST = np.array([0.05, -0.55, 0.02]) - 0.004
HIGHEST = np.array([0.75, 0.55, 0.75]) + 0.004
SPEED_M_S = 0.4 * 1.07
SPEED_RAD_S = 1.5 * 1.07

LOW_START = np.array([0.0, 0.92, 0.80, -0.96, 0.0, 0.0])  # of the X5: 5.5 cm above the table, looking down

NEXT = 0  # stands for the sequence that a policy would give the chunk

anything = st.floats(width=64)
counts = st.integers(0, 20)


@st.composite
def garbage_chunks(draw: st.DrawFn) -> Chunk:
    """Numbers of any kind, in arrays of any lengths."""
    steps = draw(counts)
    n = [draw(st.just(steps) | counts) for _ in range(4)]
    return Chunk(
        sequence=draw(st.integers(0, 2**64 - 1)),
        frame=draw(st.sampled_from(["base_link", "map", ""])),
        stamp_s=draw(anything),
        times_s=draw(arrays(float, n[0], elements=anything)),
        positions=draw(arrays(float, (n[1], 3), elements=anything)),
        quaternions=draw(arrays(float, (n[2], 4), elements=anything)),
        widths=draw(arrays(float, n[3], elements=anything)),
    )


@st.composite
def wild_chunks(draw: st.DrawFn) -> Chunk:
    """Well-formed chunks that jump, run away or spin; times count from their receipt, some hold one bad number."""
    steps = draw(st.integers(1, 20))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    start = draw(arrays(float, 3, elements=st.floats(-1.0, 1.5)))
    reach_m = draw(st.sampled_from([0.0, 0.01, 0.05, 0.09, 0.1, 0.3, 1e6]))
    spin_rad = draw(st.sampled_from([0.0, 0.05, 0.2, 0.4, 3.0]))
    quaternions = np.cumsum(random.normal(0.0, spin_rad / 4, (steps, 4)), axis=0) + [0.0, 0.0, 0.0, 1.0]
    chunk = Chunk(
        sequence=draw(st.just(NEXT) | st.just(NEXT) | st.integers(0, 2**63)),
        frame="base_link",
        stamp_s=draw(st.floats(-1.1, 0.11)),
        times_s=draw(st.floats(-1.0, 1.0)) + np.cumsum(random.uniform(1e-4, draw(st.floats(0.001, 0.3)), steps)),
        positions=start + np.cumsum(random.uniform(-reach_m, reach_m, (steps, 3)) / 2, axis=0),
        quaternions=quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
        widths=random.uniform(-0.1, 0.2, steps),
    )
    if draw(st.integers(0, 9)) == 0:
        positions = chunk.positions.copy()
        positions[draw(st.integers(0, steps - 1))] = draw(st.sampled_from([np.nan, np.inf, -1e300]))
        chunk = replace(chunk, positions=positions)
    return chunk


events = st.one_of(
    st.tuples(st.just("chunk"), wild_chunks()),
    st.tuples(st.just("chunk"), wild_chunks()),
    st.tuples(st.just("chunk"), garbage_chunks()),
    st.tuples(st.just("run"), st.floats(0.0, 0.4)),
    st.tuples(st.just("pause"), st.floats(0.0, 2.0)),
    st.tuples(st.just("back"), st.floats(0.0, 2.0)),
    st.tuples(st.sampled_from(["enable", "stop", "home", "freeze", "thaw", "fault"]), st.none()),
)


class Witness:
    """Watches what a controller sends, with its own idea of the limits."""

    def __init__(self, rig: Any) -> None:
        self.rig = rig
        self.previous: tuple[float, ArmCommand] | None = None
        self.offered = 0
        self.accepted_steps = 0
        self.frozen: ArmState | None = None
        self.last_tick_s = -np.inf

    def do(self, what: str, value: Any, jitter: Callable[[], float]) -> None:
        rig, controller = self.rig, self.rig.controller
        if what == "chunk":
            self.offer(value)
        elif what == "run":
            end_s = rig.now_s + value
            while rig.now_s < end_s:
                rig.now_s += jitter()
                self.tick(rig.now_s)
        elif what == "pause":
            rig.now_s += value
        elif what == "back":
            assert controller.tick(self.last_tick_s - value, self.measured()) is None
        elif what == "freeze":
            self.frozen = rig.arm.read()
        elif what == "thaw":
            self.frozen = None
        elif what == "enable":
            self.enable()
        elif what == "home":
            try:
                controller.home()
            except RequestRefusedError:
                assert controller.state is not State.HOLDING
        else:
            getattr(controller, what)("because")

    def measured(self) -> ArmState:
        return self.frozen or self.rig.arm.read()

    def enable(self) -> None:
        enabled = self.rig.controller.state in (State.ACTIVE, State.HOLDING)
        try:
            self.rig.controller.enable()
        except RequestRefusedError:
            return
        if not enabled:  # starts again from where the arm is
            position = self.measured().position
            state = ArmCommand(position, np.zeros(6), self.measured().gripper_width)
            self.previous = self.rig.now_s, state

    def offer(self, chunk: Chunk) -> None:
        rig = self.rig
        if np.isfinite(chunk.stamp_s) and abs(chunk.stamp_s) < 10.0:
            chunk = replace(chunk, stamp_s=rig.now_s + chunk.stamp_s, times_s=rig.now_s + chunk.times_s)
        before = rig.snapshot()
        self.offered += 1
        if chunk.sequence == NEXT:
            chunk = replace(chunk, sequence=before.chunk_sequence + 1)
        try:
            rig.controller.offer(chunk, rig.now_s)
        except ChunkRejectedError as rejection:
            after = rig.snapshot()
            assert after.rule_counts[rejection.rule] == before.rule_counts[rejection.rule] + 1
            assert after.state is before.state
        else:
            self.accepted_steps += len(chunk)
            assert rig.controller.state is State.ACTIVE

    def tick(self, now_s: float) -> None:
        self.last_tick_s = now_s
        command = self.rig.controller.tick(now_s, self.measured())
        if command is None:
            assert self.previous is None or not self.previous[1].velocity.any()
            return
        assert self.previous is not None, "a command came before the arm was enabled"
        last_s, last = self.previous
        elapsed_s = now_s - last_s
        assert elapsed_s > 0.0
        for state in (command.position, command.velocity, np.array([command.gripper_width])):
            assert np.isfinite(state).all()
        assert (command.position >= np.array(LIMIT.position_min) - EPS).all()
        assert (command.position <= np.array(LIMIT.position_max) + EPS).all()
        assert -EPS <= command.gripper_width <= LIMIT.gripper_width_max + EPS
        v_max = FRACTION * np.array(LIMIT.velocity_max)
        assert (np.abs(command.velocity) <= v_max + EPS).all()
        assert (np.abs(command.position - last.position) <= v_max * elapsed_s + EPS).all()
        assert (np.abs(command.velocity - last.velocity) <= ACCELERATION * elapsed_s + EPS).all()
        width_change = abs(command.gripper_width - last.gripper_width)
        assert width_change <= FRACTION * LIMIT.gripper_velocity_max * elapsed_s + EPS
        self.check_end_effector(command, last, elapsed_s)
        self.previous = now_s, command
        self.rig.arm.command(command)

    def check_end_effector(self, command: ArmCommand, last: ArmCommand, elapsed_s: float) -> None:
        pose, before = (self.rig.kinematics.forward(state.position) for state in (command, last))
        assert (pose.position >= LOWEST).all(), "below the table's clearance or out of the box"
        assert (pose.position <= HIGHEST).all(), "out of the box"
        way_m, turn_rad = before.distance(pose)
        assert way_m <= SPEED_M_S * elapsed_s + EPS
        assert turn_rad <= SPEED_RAD_S * elapsed_s + 1e-7

    def audit(self) -> None:
        """Nothing was lost or counted twice."""
        snapshot = self.rig.snapshot()
        assert snapshot.chunks_accepted + snapshot.chunks_rejected == self.offered
        assert sum(snapshot.rule_counts[rule] for rule in REJECTIONS) == snapshot.chunks_rejected
        schedule = self.rig.controller.schedule
        counted = schedule.executed + schedule.dropped + schedule.superseded + schedule.pending
        assert counted == self.accepted_steps


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(st.lists(events, max_size=25), st.integers(0, 2**32 - 1), st.booleans())
def test_no_command_breaks_a_limit(make_rig: Any, story: list[Any], seed: int, steady: bool) -> None:
    random = np.random.default_rng(seed)
    witness = Witness(make_rig(velocity_fraction=FRACTION, joint_acceleration_rad_s2=ACCELERATION[0]))

    def jitter() -> float:
        return 0.005 if steady else float(random.choice([0.0001, 0.004, 0.005, 0.006, 0.02, 0.1]))

    for what, value in [("run", 0.02), ("enable", None), ("run", 0.02), *story, ("run", 1.0)]:
        witness.do(what, value, jitter)
    witness.audit()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(wild_chunks(), min_size=1, max_size=6))
def test_no_command_breaks_a_limit_with_the_real_kinematics(
    make_rig: Any, sdk_kinematics: Any, chunks: list[Chunk]
) -> None:
    witness = Witness(make_rig(kinematics=sdk_kinematics, velocity_fraction=FRACTION))
    story = [("run", 0.02), ("enable", None)]
    for chunk in chunks:
        story += [("chunk", chunk), ("run", 0.3)]
    for what, value in story:
        witness.do(what, value, lambda: 0.005)
    witness.audit()


@pytest.mark.parametrize("seed", range(6))
def test_no_run_of_legal_chunks_breaks_a_limit(make_rig: Any, sdk_kinematics: Any, seed: int) -> None:
    """Chunks that are all accepted and lead anywhere: out of reach, into the table, through singularities."""
    random = np.random.default_rng(seed)
    witness = standing(make_rig(kinematics=sdk_kinematics, velocity_fraction=FRACTION), LOW_START)
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
def test_no_straight_way_breaks_a_limit(make_rig: Any, sdk_kinematics: Any, step_m: tuple[float, ...]) -> None:
    witness = standing(make_rig(kinematics=sdk_kinematics, velocity_fraction=FRACTION), LOW_START)
    start = witness.rig.pose
    positions = start.position + np.arange(1, 17)[:, np.newaxis] * np.array(step_m)
    run_chunk(witness, positions, np.tile(start.quaternion, (16, 1)), 2.2)
    assert witness.rig.snapshot().chunks_accepted == 1
    way_m = float((witness.rig.pose.position - start.position) @ step_m) / float(np.linalg.norm(step_m))
    assert way_m > 0.05, "a limit that stops the arm where it stands is easily kept"
    witness.audit()


def test_a_gentle_way_along_the_table_is_not_slowed(make_rig: Any, sdk_kinematics: Any) -> None:
    """What the pushing task does: the check must not get in the way of motion inside the limits."""
    witness = standing(make_rig(kinematics=sdk_kinematics, velocity_fraction=FRACTION), LOW_START)
    start = witness.rig.pose
    down = start.position + np.linspace(0.0, 1.0, 16)[:, np.newaxis] * (np.array([0.32, 0.0, 0.02]) - start.position)
    run_chunk(witness, down, np.tile(start.quaternion, (16, 1)), 1.6)
    across = down[-1] + np.linspace(0.0, 0.15, 16)[:, np.newaxis] * [0.0, 1.0, 0.0]
    run_chunk(witness, across, np.tile(start.quaternion, (16, 1)), 2.0)
    np.testing.assert_allclose(witness.rig.pose.position, across[-1], atol=2e-3)
    assert witness.rig.snapshot().rule_counts["stopping_path"] == 0


def test_home_keeps_the_limits(make_rig: Any, sdk_kinematics: Any) -> None:
    witness = standing(make_rig(kinematics=sdk_kinematics, velocity_fraction=FRACTION), LOW_START)
    witness.do("home", None, lambda: 0.005)
    witness.do("run", 4.0, lambda: 0.005)
    assert witness.rig.snapshot().reason == "at the home position"


def standing(rig: Any, joints: np.ndarray) -> Witness:
    """A witness of an enabled arm that stands there."""
    rig.arm = LoopbackArm(joints, gripper_width=0.04, lag_s=0.02, clock=lambda: rig.now_s)
    witness = Witness(rig)
    for what, value in [("run", 0.02), ("enable", None)]:
        witness.do(what, value, lambda: 0.005)
    return witness


def run_chunk(witness: Witness, positions: np.ndarray, quaternions: np.ndarray, duration_s: float) -> None:
    """Offer poses 0.1 s apart and let time pass."""
    n = len(positions)
    chunk = Chunk(
        sequence=NEXT,
        frame="base_link",
        stamp_s=0.0,
        times_s=0.1 * np.arange(1, n + 1),
        positions=positions,
        quaternions=quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True),
        widths=np.full(n, 0.04),
    )
    witness.offer(chunk)
    witness.do("run", duration_s, lambda: 0.005)


def test_the_witness_sees_motion(make_rig: Any, make_chunk: Any) -> None:
    """Guards the tests above against a controller that never moves."""
    witness = Witness(make_rig())
    witness.do("run", 0.02, lambda: 0.005)
    witness.do("enable", None, lambda: 0.005)
    assert witness.rig.controller.state is State.HOLDING
    witness.offer(replace(make_chunk(0.0, witness.rig.pose), stamp_s=-0.02, times_s=0.1 * np.arange(16)))
    witness.do("run", 1.0, lambda: 0.005)
    assert witness.previous is not None
    assert np.abs(witness.previous[1].velocity).max() > 0.01
    witness.audit()
    with pytest.raises(AssertionError):
        witness.previous = witness.rig.now_s, replace(witness.previous[1], position=np.ones(6))
        witness.tick(witness.rig.now_s + 0.005)


def test_the_witness_sees_the_table(make_rig: Any, sdk_kinematics: Any) -> None:
    """Guards the checks of the end effector: this controller believes the table to be 10 cm lower."""
    lower = make_rig(kinematics=sdk_kinematics, workspace_min_m=[0.05, -0.55, -0.1], table_height_m=-0.1)
    witness = standing(lower, LOW_START)
    pose = witness.rig.pose
    positions = pose.position + np.arange(1, 17)[:, np.newaxis] * [0.0, 0.0, -0.01]
    with pytest.raises(AssertionError, match="below the table's clearance"):
        run_chunk(witness, positions, np.tile(pose.quaternion, (16, 1)), 2.0)
