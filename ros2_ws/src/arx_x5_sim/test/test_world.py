# SPDX-License-Identifier: Apache-2.0
"""A world is a function of its seed, and its commands do what they say."""

import numpy as np
import pytest

from arx_x5_sim.collection.seeds import check_train_seeds
from arx_x5_sim.tasks.cartesian_env import TRANSLATION_MAX_M, PushEnv, rollout
from arx_x5_sim.tasks.push.wandering import RandomPolicy
from arx_x5_sim.world.world import EEF_START_X_M, OBJECT_GAP_Y_M, PUSH_MIN_M, TOOL_QUATERNION, World


def test_equal_seeds_give_equal_worlds(model, world):
    other = World(model)
    other.reset(8)
    other.step(40)
    for w in (world, other):
        w.reset(7)
    np.testing.assert_array_equal(world.data.qpos, other.data.qpos)
    np.testing.assert_array_equal(world.square_positions(), other.square_positions())
    world.reset(8)
    assert np.abs(world.data.qpos - other.data.qpos).max() > 0.01


def test_layouts_keep_their_gaps_and_are_at_rest(world):
    for seed in range(30):
        world.reset(seed)
        blocks, squares = world.block_poses(), world.square_positions()
        assert abs(blocks[0, 1] - blocks[1, 1]) > OBJECT_GAP_Y_M - 1e-3
        assert abs(squares[0, 1] - squares[1, 1]) > OBJECT_GAP_Y_M
        assert world.pair_distances_m().min() > PUSH_MIN_M - 1e-3
        assert EEF_START_X_M[0] - 1e-3 < world.eef_pose()[0][0] < EEF_START_X_M[1] + 1e-3
        assert np.abs(world.data.qvel).max() < 1e-3


def test_a_block_on_a_square_is_solved(world):
    world.reset(0)
    assert not world.solved()
    world.set_block(1, np.array([*world.square_positions()[0], 0.3]))
    assert world.solved()
    assert world.pair_solved(block=1, square=0)
    assert not world.pair_solved(block=0, square=1)


def test_gripper_follows_its_width(world):
    world.reset(0)
    world.set_joint_targets(world.arm_reading().position, 0.08)
    world.step(250)
    assert world.arm_reading().gripper_width == pytest.approx(0.08, abs=1e-3)


def test_steps_reach_their_target_and_wild_ones_are_limited(world):
    env = PushEnv(world)
    env.reset(3)
    start = world.eef_pose()[0]
    near = start + np.array([0.0, 0.01, 0.0])
    env.step(near, TOOL_QUATERNION, 0.025)
    assert np.linalg.norm(world.eef_pose()[0] - near) < 2e-3
    commanded = env.step(near + np.array([0.0, 0.5, 0.0]), TOOL_QUATERNION, 0.025)
    assert np.linalg.norm(commanded.position - near) == pytest.approx(TRANSLATION_MAX_M, abs=1e-6)


def test_rollout_is_repeatable_and_reports_steps(model):
    def run():
        envs = [PushEnv(World(model)) for _ in range(3)]
        for seed, env in enumerate(envs):
            env.reset(20_000 + seed)
        steps = rollout(envs, RandomPolicy(range(3)), max_steps=10, solved=lambda w: w.seed == 20_001)
        return steps, [env.world.data.qpos.copy() for env in envs]

    (first_steps, first), (second_steps, second) = run(), run()
    assert first_steps.tolist() == second_steps.tolist() == [-1, 1, -1]
    np.testing.assert_array_equal(first, second)


def test_only_training_seeds_may_be_collected():
    assert check_train_seeds(9_990, 10) == range(9_990, 10_000)
    with pytest.raises(ValueError, match="not all training seeds"):
        check_train_seeds(9_990, 11)
