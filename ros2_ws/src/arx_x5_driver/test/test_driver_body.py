# SPDX-License-Identifier: Apache-2.0
"""The chain agrees with the SDK's solver, and distances between capsules with those of many points on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from arx_x5_driver.geometry.body import Body, Capsule, segment_distances
from arx_x5_driver.geometry.chain import Chain
from arx_x5_driver.geometry.kinematics import SdkKinematics
from arx_x5_driver.geometry.limits import LIMITS

FOLDED = [0.0, 1.5, 0.0, -1.5, 0.0, 0.0]  # the hand turned back into the upper arm


@pytest.fixture(params=["X5", "X5_umi", "L5"])
def arm(request: pytest.FixtureRequest) -> SdkKinematics:
    pytest.importorskip("arx5_interface")
    return SdkKinematics(request.param)


def test_the_chain_ends_where_the_sdk_says(arm: SdkKinematics) -> None:
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


def test_condition_grows_towards_a_singularity(sdk_kinematics: SdkKinematics) -> None:
    def stretched(elbow_rad: float) -> np.ndarray:
        return np.array([0.0, 1.5, elbow_rad, -0.5, 0.0, 0.0])

    assert sdk_kinematics.condition(stretched(1.0)) < 15.0
    wrist = [sdk_kinematics.condition(np.array([0.0, 1.5, 1.0, -0.5, bend, 0.0])) for bend in (0.5, 1.2, 1.5)]
    assert wrist == sorted(wrist)
    assert wrist[-1] > 40.0


def test_home_is_free_and_folding_is_not(arm: SdkKinematics) -> None:
    home, folded = arm.body.distances(arm.frames(np.array([np.zeros(6), FOLDED]))).min(axis=1)
    assert home > 0.005
    assert folded < 0.0


def test_segment_distances_are_those_of_many_points() -> None:
    random = np.random.default_rng(2)
    shares = np.linspace(0.0, 1.0, 101)[:, np.newaxis]
    for _ in range(200):
        a, b, way_a, way_b = random.normal(size=(4, 3))
        if random.random() < 0.2:
            way_b = way_a * random.normal()
        apart = (a + shares * way_a)[:, np.newaxis] - (b + shares * way_b)[np.newaxis]
        nearest = np.linalg.norm(apart, axis=-1).min()
        distance = float(segment_distances(way_a, way_b, a - b))
        assert distance <= nearest + 1e-12
        assert distance == pytest.approx(nearest, abs=0.02)


def test_links_next_to_each_other_do_not_count() -> None:
    capsules = [Capsule(link, (0.0, 0.0, 0.0), (0.1, 0.0, 0.0), 0.05) for link in (1, 2)]
    assert Body(capsules, [0.1, 0.1]).distances(np.tile(np.eye(4), (4, 2, 1, 1))).shape == (2, 0)


def test_distances_change_no_faster_than_the_levers_say(arm: SdkKinematics) -> None:
    limits = LIMITS["X5"]
    random = np.random.default_rng(1)
    joints = random.uniform(limits.position_min, limits.position_max, (300, 6))
    turns = random.normal(0.0, 0.2, (300, 6)) * (random.random((300, 6)) < 0.4)
    changes_m = arm.body.distances(arm.frames(joints + turns)) - arm.body.distances(arm.frames(joints))
    assert (np.abs(changes_m) <= np.abs(turns) @ arm.body.levers_m.T + 1e-12).all()
    assert (arm.body.levers_m[:, 0] == 0.0).all()
    assert 0.5 < arm.body.levers_m.max() < 0.9


def test_a_chain_that_is_not_there(tmp_path: Path) -> None:
    urdf = tmp_path / "arm.urdf"
    urdf.write_text('<robot><joint name="a" type="prismatic"><parent link="base"/><child link="x"/></joint></robot>')
    with pytest.raises(ValueError, match="has no chain from 'base' to 'tip'"):
        Chain(urdf, "base", "tip")
    with pytest.raises(ValueError, match="joint 'a' .* is prismatic"):
        Chain(urdf, "base", "x")
