# SPDX-License-Identifier: Apache-2.0
"""The chain agrees with the SDK's solver, and its Jacobian with how the tip moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from arx_x5_driver.geometry.chain import Chain
from arx_x5_driver.geometry.kinematics import SdkKinematics
from arx_x5_driver.geometry.limits import LIMITS


@pytest.mark.parametrize("model", LIMITS)
def test_the_chain_ends_where_the_sdk_says(model: str) -> None:
    pytest.importorskip("arx5_interface")
    arm = SdkKinematics(model)
    limits = LIMITS["X5"]
    joints = np.random.default_rng(0).uniform(limits.position_min, limits.position_max, (200, 6))
    frames = arm.frames(joints)
    assert frames.shape == (8, 200, 4, 4)
    for row, frame in zip(joints, frames[-1], strict=True):
        np.testing.assert_allclose(arm.forward(row).position, frame[:3, 3], atol=1e-9)


def test_the_jacobian_says_how_the_tip_moves() -> None:
    config = pytest.importorskip("arx5_interface").RobotConfigFactory.get_instance().get_config("X5_umi")
    chain = Chain(Path(config.urdf_path), config.base_link_name, config.eef_link_name)
    step_rad = 1e-6
    for joints in np.random.default_rng(3).uniform(-1.0, 1.0, (20, 6)):
        moved = chain.frames(joints + step_rad * np.vstack((np.zeros(6), np.eye(6))))[-1]
        jacobian = chain.jacobian(joints)
        np.testing.assert_allclose((moved[1:, :3, 3] - moved[0, :3, 3]) / step_rad, jacobian[:3].T, atol=1e-5)
        turns = Rotation.from_matrix(moved[1:, :3, :3] @ moved[0, :3, :3].T).as_rotvec() / step_rad
        np.testing.assert_allclose(turns, jacobian[3:].T, atol=1e-5)


def test_a_chain_that_is_not_there(tmp_path: Path) -> None:
    urdf = tmp_path / "arm.urdf"
    urdf.write_text('<robot><joint name="a" type="prismatic"><parent link="base"/><child link="x"/></joint></robot>')
    with pytest.raises(ValueError, match="has no chain from 'base' to 'tip'"):
        Chain(urdf, "base", "tip")
    with pytest.raises(ValueError, match="joint 'a' .* is prismatic"):
        Chain(urdf, "base", "x")
