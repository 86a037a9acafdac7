# SPDX-License-Identifier: Apache-2.0
"""Parameters that do not fit together are refused; with all others the arm comes to rest where it is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from arx_x5_driver.control.config import ControllerConfig
from arx_x5_driver.motion.joint_bounds import SharedBounds
from arx_x5_driver.motion.joint_tracker import JointTracker
from arx_x5_driver.motion.motion import LONGEST_STOP_S
from arx_x5_driver.parameters import DriverParameters
from uva_node_utils.specs import parameter_specs

LEVERS_M = (0.75, 0.7, 0.45, 0.25, 0.15, 0.1)  # about those of an X5


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"velocity_fraction": 1.0, "joint_acceleration_rad_s2": 5.0}, "would take 1.95 s to stop"),
        ({"home_position_rad": [0.0, -0.5, 0.0, 0.0, 0.0, 0.0]}, "home_position"),
        ({"home_position_rad": [0.0]}, "home_position"),
        ({"workspace_min_m": [0.0, 0.0]}, "workspace_min_m needs 3 numbers"),
        ({"workspace_min_m": [0.0, 0.0, 2.0]}, "is not below"),
        ({"gripper_keypoints_m": []}, "the gripper needs keypoints"),
        ({"gripper_keypoints_m": [0.0, 0.0, float("nan")]}, "the gripper needs keypoints"),
        ({"table_height_m": 0.74}, "the table with its clearance, 0.76 m, is not below"),
        ({"cartesian_acceleration_m_s2": 160.0}, r"160 m/s\^2 cannot be ended within 0\.3 s with 2000 m/s\^3"),
        ({"feedback_timeout_s": 0.01, "rate_hz": 100.0}, "feedback_timeout_s 0.01 is shorter than two control periods"),
        ({"arm_model": "X9"}, "unknown arm model"),
        ({"rate_hz": 20.0}, r"rate_hz 20 is too low: 2 missed periods .* 0\.15 s.* must be at least 34$"),
        ({"rate_hz": 33.0}, "must be at least 34$"),
        ({"rate_hz": 50.0}, "tracking_bandwidth_rad_s 30 is too high for rate_hz 50: .* at most 15, .* at least 100$"),
        ({"rate_hz": 100.0, "tracking_bandwidth_rad_s": 100.0}, "at most 30, or raise rate_hz to at least 333.333$"),
    ],
)
def test_parameters_that_do_not_fit_together(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(DriverParameters(), **parameters).controller_config()


@pytest.mark.parametrize("parameters", [{"rate_hz": 34.0, "tracking_bandwidth_rad_s": 10.2}, {"rate_hz": 100.0}, {}])
def test_parameters_at_the_edge_are_taken(parameters: dict[str, Any]) -> None:
    DriverParameters(**parameters).controller_config()


def within(field: str) -> st.SearchStrategy[float]:
    """Draw from all of a parameter's range, each order of magnitude as often as another."""
    spec = next(spec for spec in parameter_specs(DriverParameters) if spec.name == field)
    assert spec.low and spec.high
    return st.floats(np.log(spec.low), np.log(spec.high)).map(lambda log: float(np.exp(log)))


LIMITS = (
    "velocity_fraction",
    "joint_acceleration_rad_s2",
    "joint_jerk_rad_s3",
    "gripper_acceleration_m_s2",
    "gripper_jerk_m_s3",
    "cartesian_acceleration_m_s2",
    "cartesian_jerk_m_s3",
)
drawn = st.fixed_dictionaries({name: within(name) for name in ("rate_hz", "tracking_bandwidth_rad_s", *LIMITS)})


def config_of(parameters: dict[str, float]) -> ControllerConfig:
    """Return the configuration, with limits lowered or raised until the joints can stop in time."""
    asked = DriverParameters(**parameters)
    for _ in range(40):
        try:
            return asked.controller_config()
        except ValueError as error:
            if "joint would take" in str(error):
                asked = replace(
                    asked,
                    velocity_fraction=max(asked.velocity_fraction / 1.5, 0.01),
                    joint_acceleration_rad_s2=min(asked.joint_acceleration_rad_s2 * 1.2, 100.0),
                    joint_jerk_rad_s3=min(asked.joint_jerk_rad_s3 * 1.5, 10000.0),
                    gripper_acceleration_m_s2=min(asked.gripper_acceleration_m_s2 * 1.2, 20.0),
                    gripper_jerk_m_s3=min(asked.gripper_jerk_m_s3 * 1.5, 1000.0),
                )
            elif "m/s^2 cannot be ended" in str(error):
                asked = replace(asked, cartesian_jerk_m_s3=min(asked.cartesian_jerk_m_s3 * 1.5, 100000.0))
            elif "too low" in str(error) or "too high" in str(error):
                assume(False)
            else:
                raise
    assume(False)
    raise AssertionError


@settings(max_examples=settings().max_examples // 4, deadline=None)
@example({"rate_hz": 200.0, "tracking_bandwidth_rad_s": 60.0}, 1, False)
@example({"rate_hz": 34.0, "tracking_bandwidth_rad_s": 10.2}, 1, True)
@example(
    {
        "rate_hz": 267.0,
        "tracking_bandwidth_rad_s": 80.0,
        "velocity_fraction": 0.0163,
        "joint_acceleration_rad_s2": 66.8,
        "joint_jerk_rad_s3": 17.7,
        "cartesian_acceleration_m_s2": 767.0,
        "cartesian_jerk_m_s3": 38642.0,
    },
    1,
    False,
)
@given(drawn, st.integers(0, 2**16), st.booleans())
def test_a_resting_target_is_reached_and_kept(parameters: dict[str, float], seed: int, missed: bool) -> None:
    """Also with missed periods, and with little jerk for the bandwidth, where joints once swung without end."""
    config = config_of(parameters)
    bounds = config.motion.bounds()
    cartesian = config.motion.cartesian
    shared = SharedBounds((*LEVERS_M, 0.0), cartesian.acceleration_m_s2, cartesian.jerk_m_s3, LONGEST_STOP_S)
    tracker = JointTracker(bounds, config.motion.bandwidth_rad_s, shared=[shared])
    random = np.random.default_rng(seed)
    start = random.uniform(bounds.position_min, bounds.position_max)
    # Far enough for full speed, and not so far that the test takes minutes.
    fastest = np.minimum(bounds.velocity_max, shared.velocity_max / sum(LEVERS_M))
    goal = np.clip(start + random.normal(size=7) * fastest, bounds.position_min, bounds.position_max)
    tracker.reset(start.tolist())

    def go(duration_s: float) -> np.ndarray:
        """Return the largest errors on the way, in shares of a second at full speed."""
        worst = np.zeros(7)
        for _ in range(round(duration_s / config.period_s)):
            tracker.follow(goal.tolist(), config.period_s * (2.0 if missed and random.random() < 0.2 else 1.0))
            worst = np.maximum(worst, np.abs(goal - tracker.motion.position) / bounds.velocity_max)
        return worst

    go(10.0 + 30.0 * config.motion.bandwidth_rad_s**-1)
    assert (go(1.0) < 1e-3).all()
    assert np.abs(tracker.motion.velocity / bounds.velocity_max).max() < 1e-3


@pytest.mark.parametrize(("rate_hz", "bandwidth"), [(34.0, 10.2), (50.0, 15.0), (100.0, 30.0), (200.0, 60.0)])
def test_the_whole_driver_rests_at_a_resting_target(
    make_witness: Callable[..., Any], make_chunk: Callable[..., Any], rate_hz: float, bandwidth: float
) -> None:
    witness = make_witness(rate_hz=rate_hz, tracking_bandwidth_rad_s=bandwidth)
    rig = witness.rig
    chunk = make_chunk(0.0, rig.pose, times_s=0.3 * np.arange(1, 17))
    resting = np.tile(chunk.positions[-1], (16, 1))
    witness.offer(replace(chunk, stamp_s=0.0, positions=resting, times_s=0.3 * np.arange(1, 17)))
    witness.run(1.5)
    sent = rig.kinematics.forward(rig.controller.tick(rig.now_s + rig.period_s, witness.measured()).position)
    np.testing.assert_allclose(sent.position, resting[0], atol=1e-4)
    witness.audit()
