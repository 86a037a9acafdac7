# SPDX-License-Identifier: Apache-2.0
"""Kinematics and limits agree with the installed SDK."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from arx_x5_driver.geometry import kinematics as module
from arx_x5_driver.geometry.kinematics import SdkKinematics, SdkMissingError, limits_of
from arx_x5_driver.geometry.limits import LIMITS, ArmLimits
from arx_x5_driver.geometry.se3 import Pose


@pytest.mark.parametrize("model", LIMITS)
def test_limits_are_those_of_the_sdk(model: str) -> None:
    sdk = pytest.importorskip("arx5_interface")
    config = sdk.RobotConfigFactory.get_instance().get_config(model)
    assert limits_of(model) == ArmLimits(
        model=config.robot_model,
        position_min=tuple(config.joint_pos_min),
        position_max=tuple(config.joint_pos_max),
        velocity_max=tuple(config.joint_vel_max),
        torque_max=tuple(config.joint_torque_max),
        gripper_width_max=config.gripper_width,
        gripper_velocity_max=config.gripper_vel_max,
        gripper_torque_max=config.gripper_torque_max,
    )


@pytest.mark.parametrize("model", LIMITS)
def test_round_trip_is_far_below_a_millimetre(model: str) -> None:
    pytest.importorskip("arx5_interface")
    kinematics = SdkKinematics(model)
    limits = limits_of(model)
    random = np.random.default_rng(0)
    for _ in range(200):
        joints = 0.9 * random.uniform(limits.position_min, limits.position_max)
        pose = kinematics.forward(joints)
        found = kinematics.inverse(pose, joints + random.normal(0.0, 0.01, 6))
        assert found is not None
        way_m, turn_rad = kinematics.forward(found).distance(pose)
        assert way_m < 2e-4
        assert turn_rad < 2e-3


def test_a_slow_turn_is_no_staircase(sdk_kinematics: SdkKinematics) -> None:
    """The SDK's own solution stands still until the target is 0.01 rad away."""
    joints = np.array([0.0, 1.2, 1.3, 0.6, 0.1, 0.2])
    for _ in range(20):
        wanted = joints + [0.0, 0.0, 0.0, 0.0, 0.0, 0.001]
        found = sdk_kinematics.inverse(sdk_kinematics.forward(wanted), joints)
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        joints = wanted


def test_out_of_reach(sdk_kinematics: SdkKinematics) -> None:
    far = Pose(np.array([2.0, 0.0, 0.3]), np.array([0.0, 0.0, 0.0, 1.0]))
    assert sdk_kinematics.inverse(far, np.array([0.0, 1.0, 1.0, 0.0, 0.0, 0.0])) is None


def test_condition_grows_towards_a_singularity(sdk_kinematics: SdkKinematics) -> None:
    def stretched(elbow_rad: float) -> np.ndarray:
        return np.array([0.0, 1.5, elbow_rad, -0.5, 0.0, 0.0])

    assert sdk_kinematics.condition(stretched(1.0)) < 15.0
    wrist = [sdk_kinematics.condition(np.array([0.0, 1.5, 1.0, -0.5, bend, 0.0])) for bend in (0.5, 1.2, 1.5)]
    assert wrist == sorted(wrist)
    assert wrist[-1] > 40.0


def test_unknown_model() -> None:
    with pytest.raises(ValueError, match="unknown arm model 'X9', known are X5, X5_umi, L5"):
        SdkKinematics("X9")


def test_missing_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_sdk(name: str) -> object:
        if name == "arx5_interface":
            raise ModuleNotFoundError("No module named 'arx5_interface'")
        return import_module(name)

    monkeypatch.setattr(module, "import_module", without_sdk)
    with pytest.raises(SdkMissingError, match="pip install arx5-interface"):
        SdkKinematics("X5")
