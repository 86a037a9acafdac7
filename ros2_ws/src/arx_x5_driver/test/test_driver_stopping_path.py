# SPDX-License-Identifier: Apache-2.0
"""The check refuses every path to rest on which the end effector is faster than the README says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from arx_x5_driver.motion.braking import Brake, JointMotion, braking_time_s
from arx_x5_driver.motion.stopping_path import StoppingPathCheck
from arx_x5_driver.parameters import DriverParameters
from arx_x5_driver.rules.rules import CARTESIAN_SPEED

RULES = DriverParameters().controller_config().motion.cartesian
START = [0.0, 1.2, 1.3, 0.0, 0.0, 0.0]
ACCELERATION_MAX, JERK_MAX = 15.0, 600.0


def brake_of(joints: slice, seed: int) -> Brake:
    """Return the braking of some joints from a random motion that is slow enough to stay in the box."""
    random = np.random.default_rng(seed)
    velocity, acceleration = np.zeros(6), np.zeros(6)
    velocity[joints] = random.normal(size=3) * random.choice([0.0, 0.01, 0.1, 0.3])
    acceleration[joints] = random.uniform(-1.0, 1.0, 3) * random.choice([1.0, ACCELERATION_MAX])
    times_s = [braking_time_s(v, a, ACCELERATION_MAX, JERK_MAX) for v, a in zip(velocity, acceleration, strict=True)]
    return Brake(JointMotion(START, velocity.tolist(), acceleration.tolist()), max(times_s))


def peak_of(brake: Brake, joints: slice) -> float:
    times_s = np.linspace(0.0, brake.duration_s, 500)
    return float(max(np.linalg.norm(brake.at(time_s).velocity[joints]) for time_s in times_s))


@settings(max_examples=2 * settings().max_examples, deadline=None)
@given(st.integers(0, 2**32))
def test_the_speed_exceeds_its_limit_by_less_than_seven_percent(make_rig: Callable[..., Any], seed: int) -> None:
    kinematics, joints = make_rig().kinematics, slice(0, 3)
    brake = brake_of(joints, seed)
    peak_m_s = kinematics.levers_m[0] * peak_of(brake, joints)
    assume(peak_m_s > 1e-3)  # slower motion is up to the rounding of differences
    too_fast = replace(RULES, speed_m_s=peak_m_s / 1.07, speed_rad_s=100.0)
    assert StoppingPathCheck(too_fast, kinematics)(START, brake, 0.005) == CARTESIAN_SPEED
    slow = replace(RULES, speed_m_s=peak_m_s, speed_rad_s=100.0)
    assert StoppingPathCheck(slow, kinematics)(START, brake, 0.005) is None


@pytest.mark.parametrize("joint", [3, 4, 5])
@pytest.mark.parametrize("velocity", [0.0, 0.5, -0.5])
def test_the_turning_speed_exceeds_its_limit_by_less_than_seven_percent(
    make_rig: Callable[..., Any], joint: int, velocity: float
) -> None:
    kinematics = make_rig().kinematics
    still = [0.0] * 6
    for acceleration in np.linspace(1.0, 15.0, 15):
        start = JointMotion(START, still.copy(), still.copy())
        start.velocity[joint], start.acceleration[joint] = velocity, float(acceleration)
        brake = Brake(start, braking_time_s(velocity, float(acceleration), ACCELERATION_MAX, JERK_MAX))
        peak_rad_s = peak_of(brake, slice(joint, joint + 1))
        too_fast = replace(RULES, speed_rad_s=peak_rad_s / 1.07)
        assert StoppingPathCheck(too_fast, kinematics)(START, brake, 0.005) == CARTESIAN_SPEED
        assert StoppingPathCheck(replace(RULES, speed_rad_s=peak_rad_s), kinematics)(START, brake, 0.005) is None
