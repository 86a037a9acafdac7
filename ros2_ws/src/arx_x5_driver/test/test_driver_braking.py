# SPDX-License-Identifier: Apache-2.0
"""Braking keeps its limits from wherever it begins, tells its extremes, and what is left of it is a brake again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arx_x5_driver.motion.braking import Brake, JointMotion, Samples, braking_time_s, farthest_positions, peak_velocity

ACCELERATION_MAX = 15.0
JERK_MAX = 600.0
GRID = np.linspace(0.0, 1.0, 401)

speeds = st.floats(-3.0, 3.0) | st.floats(-0.05, 0.05) | st.just(0.0)
accelerations = st.floats(-15.0, 15.0) | st.sampled_from([0.0, 15.0, -15.0])
stretches = st.sampled_from([1.0, 1.1, 2.0, 10.0])


def brake_from(velocity: float, acceleration: float, stretch: float = 1.0) -> Brake:
    time_s = braking_time_s(velocity, acceleration, ACCELERATION_MAX, JERK_MAX)
    return Brake(JointMotion([0.0], [velocity], [acceleration]), stretch * time_s)


@settings(max_examples=round(1.5 * settings().max_examples), deadline=None)
@given(speeds, accelerations, stretches)
def test_limits_hold_in_the_shortest_and_in_any_longer_time(v: float, a: float, stretch: float) -> None:
    brake = brake_from(v, a, stretch)
    track = [brake.at(share * brake.duration_s) for share in GRID[::40]]
    acceleration = np.array([motion.acceleration[0] for motion in track])
    assert np.abs(acceleration).max() <= 15.0 * (1.0 + 1e-9)
    assert np.abs(np.diff(acceleration)).max() <= 600.0 * brake.duration_s * GRID[40] * (1.0 + 1e-9) + 1e-9
    positions, later = np.split(Samples(GRID, 1e-3).of(brake), 2)
    velocities = (later - positions) / 1e-3
    assert np.abs(velocities).max() <= abs(peak_velocity(v, a, brake.duration_s)) + 1e-9
    back, forth = farthest_positions(v, a, brake.duration_s)
    assert -brake.reach[0] - 2e-9 <= back - 1e-9 <= positions.min()
    assert positions.max() <= forth + 1e-9 <= brake.reach[0] + 2e-9


@settings(max_examples=settings().max_examples // 2, deadline=None)
@given(speeds, accelerations, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_what_is_left_of_a_brake_is_the_brake_of_what_is_left(v: float, a: float, first: float, then: float) -> None:
    brake = brake_from(v, a)
    halfway_s, left_s = first * brake.duration_s, (1.0 - first) * brake.duration_s
    rest = Brake(brake.at(halfway_s), left_s)
    one, other = brake.at(halfway_s + then * left_s), rest.at(then * left_s)
    np.testing.assert_allclose(one.position, other.position, atol=1e-9)
    np.testing.assert_allclose(one.velocity, other.velocity, atol=1e-9)
    np.testing.assert_allclose(one.acceleration, other.acceleration, atol=1e-6)


@pytest.mark.parametrize(("v", "a"), [(2.0, 0.0), (2.0, 15.0), (0.0, 15.0), (1.0, -15.0), (0.1, -15.0), (0.01, 1.0)])
def test_the_time_is_as_short_as_the_limits_allow(v: float, a: float) -> None:
    brake = brake_from(v, a, 0.98)
    acceleration = np.array([brake.at(share * brake.duration_s).acceleration[0] for share in GRID[:-1]])
    jerk = np.abs(np.diff(acceleration)).max() / (brake.duration_s * GRID[1])
    assert np.abs(acceleration).max() > 15.0 or jerk > 600.0


def test_positions_velocities_and_accelerations_fit_together() -> None:
    brake = brake_from(1.3, -7.0)
    step_s = 1e-6
    for share in (0.1, 0.5, 0.9):
        here, there = brake.at(share * brake.duration_s), brake.at(share * brake.duration_s + step_s)
        np.testing.assert_allclose((there.position[0] - here.position[0]) / step_s, here.velocity[0], atol=1e-4)
        np.testing.assert_allclose((there.velocity[0] - here.velocity[0]) / step_s, here.acceleration[0], atol=1e-3)


def test_at_the_end_there_is_exact_rest() -> None:
    brake = brake_from(1.3, -7.0)
    motion = brake.at(brake.duration_s)
    assert motion.at_rest
    assert motion.position == brake.end
    np.testing.assert_allclose(Samples(np.ones(1), 1.0).of(brake), [brake.end, brake.end])


def test_samples_are_the_motion_at_these_times() -> None:
    brake = Brake(JointMotion([0.5, -0.2], [1.3, -0.4], [-7.0, 3.0]), 0.2)
    positions, later = np.split(Samples(GRID, 0.5).of(brake), 2)
    for share, position, then in zip(GRID, positions, later, strict=True):
        motion = brake.at(share * brake.duration_s)
        np.testing.assert_allclose(position, motion.position, atol=1e-12)
        np.testing.assert_allclose(then, position + 0.5 * np.array(motion.velocity), atol=1e-12)


def test_rest_needs_no_braking() -> None:
    brake = brake_from(0.0, 0.0)
    assert brake.duration_s == 0.0
    assert brake.at(0.0).at_rest
