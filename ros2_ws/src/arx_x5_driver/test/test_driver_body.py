# SPDX-License-Identifier: Apache-2.0
"""The chain agrees with the SDK's solver, and distances between capsules with those of many points on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arx_x5_driver.body import Capsule, SelfDistance, arm_body, segment_distances
from arx_x5_driver.chain import Chain
from arx_x5_driver.kinematics import SdkKinematics
from arx_x5_driver.limits import LIMITS

FOLDED = [0.0, 1.5, 0.0, -1.5, 0.0, 0.0]  # the hand turned back into the upper arm


@pytest.fixture(params=["X5", "X5_umi", "L5"])
def arm(request: pytest.FixtureRequest) -> SdkKinematics:
    pytest.importorskip("arx5_interface")
    return SdkKinematics(request.param)


def test_the_chain_ends_where_the_sdk_says(arm: SdkKinematics) -> None:
    limits = LIMITS["X5"]
    joints = np.random.default_rng(0).uniform(limits.position_min, limits.position_max, (200, 6))
    frames = arm.frames(joints)
    assert frames.shape == (200, 8, 4, 4)
    for row, frame in zip(joints, frames, strict=True):
        np.testing.assert_allclose(arm.forward(row).position, frame[-1, :3, 3], atol=1e-9)


def test_condition_grows_towards_a_singularity(sdk_kinematics: SdkKinematics) -> None:
    def stretched(elbow_rad: float) -> np.ndarray:
        return np.array([0.0, 1.5, elbow_rad, -0.5, 0.0, 0.0])

    assert sdk_kinematics.condition(stretched(1.0)) < 15.0
    wrist = [sdk_kinematics.condition(np.array([0.0, 1.5, 1.0, -0.5, bend, 0.0])) for bend in (0.5, 1.2, 1.5)]
    assert wrist == sorted(wrist)
    assert wrist[-1] > 40.0


def test_home_is_free_and_folding_is_not(arm: SdkKinematics) -> None:
    distance = SelfDistance(arm.body)
    home, folded = distance(arm.frames(np.array([np.zeros(6), FOLDED])))
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
    body = (Capsule(1, (0.0, 0.0, 0.0), (0.1, 0.0, 0.0), 0.05), Capsule(2, (0.0, 0.0, 0.0), (0.1, 0.0, 0.0), 0.05))
    assert SelfDistance(body)(np.tile(np.eye(4), (2, 8, 1, 1))).tolist() == [np.inf, np.inf]
    assert len(arm_body(0.2)) == 6


def test_a_chain_that_is_not_there(tmp_path: Path) -> None:
    urdf = tmp_path / "arm.urdf"
    urdf.write_text('<robot><joint name="a" type="prismatic"><parent link="base"/><child link="x"/></joint></robot>')
    with pytest.raises(ValueError, match="has no chain from 'base' to 'tip'"):
        Chain(urdf, "base", "tip")
    with pytest.raises(ValueError, match="joint 'a' .* is prismatic"):
        Chain(urdf, "base", "x")
