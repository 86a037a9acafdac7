# SPDX-License-Identifier: Apache-2.0
"""Steps reach their targets within limits, and roll-outs are repeatable."""

import numpy as np
import pytest

from arx_x5_sim.tasks.cartesian_env import TRANSLATION_MAX_M, CartesianEnv, rollout
from arx_x5_sim.tasks.push.task import place
from arx_x5_sim.tasks.push.wandering import RandomPolicy
from arx_x5_sim.world.world import TOOL_QUATERNION, World


def test_steps_reach_their_target_and_far_ones_are_limited(world):
    env = CartesianEnv(world, place)
    env.reset(3)
    start = world.eef_pose()[0]
    near = start + np.array([0.0, 0.01, 0.0])
    env.step(near, TOOL_QUATERNION, 0.025)
    assert np.linalg.norm(world.eef_pose()[0] - near) < 2e-3
    commanded = env.step(near + np.array([0.0, 0.5, 0.0]), TOOL_QUATERNION, 0.025)
    assert np.linalg.norm(commanded.position - near) == pytest.approx(TRANSLATION_MAX_M, abs=1e-6)


def test_rollout_is_repeatable_and_reports_steps(model):
    def run():
        envs = [CartesianEnv(World(model), place) for _ in range(3)]
        for seed, env in enumerate(envs):
            env.reset(20_000 + seed)
        steps = rollout(envs, RandomPolicy(range(3)), max_steps=10, solved=lambda w: w.seed == 20_001)
        return steps, [env.world.data.qpos.copy() for env in envs]

    (first_steps, first), (second_steps, second) = run(), run()
    assert first_steps.tolist() == second_steps.tolist() == [-1, 1, -1]
    np.testing.assert_array_equal(first, second)
