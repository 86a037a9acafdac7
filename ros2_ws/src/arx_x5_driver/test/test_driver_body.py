# SPDX-License-Identifier: Apache-2.0
"""Distances between capsules are those between many points on them, and bounded by the levers."""

from __future__ import annotations

import numpy as np
import pytest

from arx_x5_driver.geometry.body import Body, Capsule, segment_distances
from arx_x5_driver.geometry.kinematics import SdkKinematics
from arx_x5_driver.geometry.limits import LIMITS

FOLDED = [0.0, 1.5, 0.0, -1.5, 0.0, 0.0]  # the hand turned back into the upper arm


@pytest.fixture(params=["X5", "X5_umi", "L5"])
def arm(request: pytest.FixtureRequest) -> SdkKinematics:
    pytest.importorskip("arx5_interface")
    return SdkKinematics(request.param)


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
