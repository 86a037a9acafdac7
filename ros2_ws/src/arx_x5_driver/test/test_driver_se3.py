# SPDX-License-Identifier: Apache-2.0
"""The quaternion arithmetic says what scipy says."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from arx_x5_driver.geometry.se3 import (
    Pose,
    angle_between,
    quaternion_from_rpy,
    rotation_vector,
    rpy_from_quaternion,
    slerp,
)

PAIRS = [Rotation.random(2, random_state=seed) for seed in range(20)]
CLOSE = [Rotation.concatenate([r[0], r[0] * Rotation.from_rotvec([1e-4, 0, 2e-4])]) for r in PAIRS[:5]]


@pytest.mark.parametrize("pair", PAIRS + CLOSE)
def test_slerp_and_difference(pair: Rotation) -> None:
    first, second = pair.as_quat()
    expected = (pair[1] * pair[0].inv()).as_rotvec()
    np.testing.assert_allclose(rotation_vector(first, second), expected, atol=1e-9)
    np.testing.assert_allclose(rotation_vector(first, -second), expected, atol=1e-9)
    assert angle_between(first, second) == pytest.approx((pair[1] * pair[0].inv()).magnitude())
    for fraction in (0.0, 0.3, 1.0):
        expected_rotation = Slerp([0.0, 1.0], pair)(fraction)
        assert angle_between(slerp(first, second, fraction), expected_rotation.as_quat()) < 1e-7
        assert angle_between(slerp(first, -second, fraction), expected_rotation.as_quat()) < 1e-7


@pytest.mark.parametrize("roll", [-3.0, 0.0, 0.4, 2.5])
@pytest.mark.parametrize("pitch", [-np.pi / 2, -1.2, 0.0, 1.5707, np.pi / 2])
@pytest.mark.parametrize("yaw", [-2.0, 0.0, 1.0])
def test_roll_pitch_yaw(roll: float, pitch: float, yaw: float) -> None:
    quaternion = quaternion_from_rpy(roll, pitch, yaw)
    expected = Rotation.from_euler("xyz", [roll, pitch, yaw]).as_quat()
    assert angle_between(quaternion, expected) < 1e-7
    again = quaternion_from_rpy(*rpy_from_quaternion(quaternion))
    assert angle_between(quaternion, again) < 1e-6


def test_interpolation_of_poses() -> None:
    start = Pose(np.zeros(3), quaternion_from_rpy(0.0, 0.0, 0.0))
    end = Pose(np.array([0.3, 0.0, 0.4]), quaternion_from_rpy(0.0, 0.0, 1.0))
    middle = start.interpolate(end, 0.5)
    assert middle.distance(end) == pytest.approx((0.25, 0.5))
