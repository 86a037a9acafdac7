# SPDX-License-Identifier: Apache-2.0
"""The limits hold whatever the targets and periods are; within them, the target is followed well."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arx_x5_driver.motion.braking import Brake, Samples
from arx_x5_driver.motion.joint_bounds import JointBounds, SharedBounds
from arx_x5_driver.motion.joint_tracker import JointTracker

BOUNDS = JointBounds(
    position_min=np.array([-1.0, 0.0]),
    position_max=np.array([2.0, 0.1]),
    velocity_max=np.array([2.0, 0.12]),
    acceleration_max=np.array([12.0, 1.0]),
    jerk_max=np.array([500.0, 40.0]),
)
SHARED = SharedBounds(levers_m=(0.5, 3.0), acceleration_max=4.0, jerk_max=150.0, stopping_time_s=0.3)
EPS = 1e-9
SAMPLES = Samples(np.linspace(0.0, 1.0, 50), 0.0)
targets = st.tuples(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12)) | st.tuples(
    st.floats(-1.2, 2.2), st.floats(-0.02, 0.12)
)
moves = st.tuples(st.floats(0.0, 0.02), targets | st.none(), st.integers(1, 12))


@settings(max_examples=round(1.5 * settings().max_examples), deadline=None)
@given(st.lists(moves, max_size=6), st.floats(-1.0, 2.0), st.floats(2.0, 100.0), st.booleans())
def test_limits_hold(steps: list, start: float, bandwidth: float, shared: bool) -> None:
    tracker = JointTracker(BOUNDS, bandwidth, shared=[SHARED] if shared else [])
    tracker.reset([start, 0.05])
    track, periods_s = [tracker.motion], []
    for dt_s, target, repeat in steps:
        for _ in range(repeat):
            if target is None:
                tracker.brake(dt_s)
            else:
                tracker.follow(target, dt_s)
            track.append(tracker.motion)
            periods_s.append(dt_s)
    position, velocity, acceleration = (
        np.array([getattr(motion, name) for motion in track]) for name in ("position", "velocity", "acceleration")
    )
    elapsed_s = np.array(periods_s)[:, np.newaxis]
    assert (position >= BOUNDS.position_min - EPS).all()
    assert (position <= BOUNDS.position_max + EPS).all()
    assert (np.abs(velocity) <= BOUNDS.velocity_max + EPS).all()
    assert (np.abs(acceleration) <= BOUNDS.acceleration_max + EPS).all()
    assert (np.abs(np.diff(position, axis=0)) <= BOUNDS.velocity_max * elapsed_s + EPS).all()
    assert (np.abs(np.diff(velocity, axis=0)) <= BOUNDS.acceleration_max * elapsed_s + EPS).all()
    assert (np.abs(np.diff(acceleration, axis=0)) <= BOUNDS.jerk_max * elapsed_s + EPS).all()
    if shared:
        levers = np.array(SHARED.levers_m)
        assert (np.abs(velocity) @ levers <= SHARED.velocity_max + EPS).all()
        assert (np.abs(acceleration) @ levers <= SHARED.acceleration_max + 2 * EPS).all()
        assert (np.abs(np.diff(acceleration, axis=0)) @ levers <= SHARED.jerk_max * elapsed_s[:, 0] + EPS).all()


def test_brake_comes_to_exact_rest_in_time() -> None:
    tracker = JointTracker(BOUNDS, 30.0)
    for _ in range(60):
        tracker.follow([2.0, 0.1], 0.005)
    assert tracker.moving
    for _ in range(round(BOUNDS.stopping_time_s / 0.005) + 1):
        tracker.brake(0.005)
    assert not tracker.moving


def test_what_joints_share_lets_them_rest_in_time() -> None:
    tracker = JointTracker(BOUNDS, 30.0, shared=[SHARED])
    for _ in range(60):
        saturation = tracker.follow([2.0, 0.1], 0.005)
    assert saturation.velocity
    assert SHARED.of(tracker.motion.velocity) > 0.9 * SHARED.velocity_max
    for _ in range(round(SHARED.stopping_time_s / 0.005) + 1):
        tracker.brake(0.005)
    assert not tracker.moving


@pytest.mark.parametrize("shared", [[], [SHARED]])
@pytest.mark.parametrize("jump", [0.01, 0.3, 2.5])
def test_step_is_reached_without_overshoot(jump: float, shared: list) -> None:
    tracker = JointTracker(BOUNDS, 30.0, shared=shared)
    tracker.reset([-0.8, 0.05])
    track = []
    for _ in range(600):
        tracker.follow([-0.8 + jump, 0.05], 0.005)
        track.append(tracker.motion.position[0])
    assert max(track) < -0.8 + jump + 0.005 * jump
    assert track[-1] == pytest.approx(-0.8 + jump, abs=1e-6)


def test_moving_target_is_followed_with_the_stated_delay() -> None:
    tracker = JointTracker(BOUNDS, 30.0)
    for i in range(400):
        tracker.follow([0.4 * 0.005 * (i + 1), 0.05], 0.005)
    assert tracker.motion.velocity[0] == pytest.approx(0.4, abs=1e-3)
    # A step already goes to the target of its own end, hence one period less.
    assert 0.8 - tracker.motion.position[0] == pytest.approx(0.4 * (tracker.delay_s - 0.005), rel=0.01)


def test_a_joint_beyond_its_limit_moves_back_in_only() -> None:
    tracker = JointTracker(BOUNDS, 30.0)
    tracker.reset([2.04, 0.05])
    tracker.follow([5.0, 0.05], 0.005)
    assert tracker.motion.position[0] <= 2.04
    for _ in range(400):
        tracker.follow([1.5, 0.05], 0.005)
        assert tracker.motion.position[0] <= 2.04
    assert tracker.motion.position[0] == pytest.approx(1.5, abs=1e-3)


@pytest.mark.parametrize("dt_s", [0.001, 0.005, 0.01])
def test_braking_goes_along_the_way_that_was_checked(dt_s: float) -> None:
    checked: list[Brake] = []

    def may_go(_here: object, brake: Brake, _dt_s: float) -> None:
        checked.append(brake)

    tracker = JointTracker(BOUNDS, 30.0, may_go)
    for _ in range(20):
        tracker.follow([2.0, 0.03], 0.005)
    way = Samples(np.linspace(0.0, 1.0, 2001), 0.0).of(checked[-1])
    while tracker.moving:
        tracker.brake(dt_s)
        assert np.abs(way - tracker.motion.position).max(axis=1).min() < 2e-4
    np.testing.assert_allclose(tracker.motion.position, checked[-1].end)


def test_joints_stand_still_before_a_way_that_is_barred() -> None:
    wall = 0.7

    def may_go(_here: object, brake: Brake, _dt_s: float) -> str | None:
        return None if SAMPLES.of(brake)[:, 0].max() <= wall else "wall"

    tracker = JointTracker(BOUNDS, 30.0, may_go)
    for _ in range(600):
        saturation = tracker.follow([1.5, 0.05], 0.005)
        assert tracker.motion.position[0] <= wall + EPS
    assert saturation.barred == "wall"
    assert tracker.motion.position[0] > wall - 0.01
    for _ in range(4):  # it does not try all at once what was barred so long
        saturation = tracker.follow([0.0, 0.05], 0.005)
    assert saturation.barred is None


def test_what_was_barred_before_a_brake_is_forgotten() -> None:
    barred = True

    def may_go(_here: object, _brake: Brake, _dt_s: float) -> str | None:
        return "wall" if barred else None

    tracker = JointTracker(BOUNDS, 30.0, may_go)
    assert tracker.follow([1.5, 0.05], 0.005).barred == "wall"
    tracker.brake(0.005)
    barred = False
    assert tracker.follow([1.5, 0.05], 0.005).barred is None


def test_saturation_is_reported() -> None:
    tracker = JointTracker(BOUNDS, 30.0)
    far = tracker.follow([1.9, 0.05], 0.005)
    assert far.velocity
    assert far.acceleration
    assert far.jerk
    assert not far.shared_acceleration
    assert not far.shared_jerk
    shared = JointTracker(BOUNDS, 30.0, shared=[SHARED]).follow([1.9, 0.05], 0.005)
    assert shared.shared_acceleration
    assert shared.shared_jerk
    tracker.reset([0.0, 0.05])
    near = tracker.follow([1e-4, 0.05], 0.005)
    assert not near.velocity
    assert not near.acceleration
    assert not near.jerk
    assert near.barred is None


def test_impossible_bounds() -> None:
    with pytest.raises(ValueError, match="no room"):
        JointBounds(np.ones(1), np.zeros(1), np.ones(1), np.ones(1), np.ones(1))
    with pytest.raises(ValueError, match="must be positive"):
        JointBounds(np.zeros(1), np.ones(1), np.ones(1), np.ones(1), np.zeros(1))
