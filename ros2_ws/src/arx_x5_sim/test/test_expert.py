# SPDX-License-Identifier: Apache-2.0
"""The expert solves the task, from anywhere around a block, and chooses as it is told."""

import numpy as np
import pytest

from arx_x5_sim.collection.seeds import VALIDATION_SEEDS
from arx_x5_sim.tasks.cartesian_env import CartesianEnv
from arx_x5_sim.tasks.push.expert import CLEARANCE_M, SPEED_M, Expert, Pair, pair_costs, push_step
from arx_x5_sim.tasks.push.task import SUCCESS_RADIUS_M, pair_distances_m, place, solved
from arx_x5_sim.tasks.push.wandering import ActionNoise


def _run(env, expert, seed, noise=None, max_steps=150):
    env.reset(seed)
    for step in range(max_steps):
        action = expert.act(env.world)
        if expert.finished:
            return step
        executed = action if noise is None else noise.apply(action)
        env.step(executed.position, executed.quaternion, executed.gripper_width)
    return None


@pytest.mark.parametrize("seed", VALIDATION_SEEDS[:8])
def test_solves_clean_and_noisy(world, seed):
    env = CartesianEnv(world, place)
    for noise in (None, ActionNoise(np.random.default_rng(seed))):
        assert _run(env, Expert(), seed, noise) is not None
        assert solved(world)


@pytest.mark.parametrize("pair", [Pair(b, s) for b in range(2) for s in range(2)])
def test_solves_the_pair_it_is_given(world, pair):
    expert = Expert(pair)
    assert _run(CartesianEnv(world, place), expert, VALIDATION_SEEDS[0]) is not None
    assert expert.pair == pair
    assert pair_distances_m(world)[pair.block, pair.square] < SUCCESS_RADIUS_M


def test_stands_still_when_finished(world):
    expert = Expert()
    _run(CartesianEnv(world, place), expert, VALIDATION_SEEDS[1])
    np.testing.assert_allclose(expert.act(world).position[:2], world.eef_pose()[0][:2])


@pytest.mark.parametrize("angle", np.linspace(-np.pi, np.pi, 13))
def test_walks_around_the_block_without_touching_it(angle):
    block, square = np.array([0.35, 0.0]), np.array([0.5, 0.0])
    eef = block + 1.5 * CLEARANCE_M * np.array([np.cos(angle), np.sin(angle)])
    for _ in range(60):
        step = push_step(eef, block, square)
        assert np.linalg.norm(step) <= SPEED_M + 1e-9
        eef = eef + step
        if np.linalg.norm(eef - block) < 0.9 * CLEARANCE_M:
            break
    behind = block - eef
    assert abs(np.arctan2(behind[1], behind[0])) < np.deg2rad(32), "touches only from behind"


def test_the_nearer_pair_is_cheaper():
    blocks = np.array([[0.35, 0.1], [0.35, -0.1]])
    squares = np.array([[0.5, 0.1], [0.5, -0.1]])
    costs = pair_costs(np.array([0.26, 0.08]), blocks, squares)
    assert min(costs, key=lambda pair: costs[pair]) == Pair(0, 0)
