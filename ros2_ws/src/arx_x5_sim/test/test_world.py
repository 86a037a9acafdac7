# SPDX-License-Identifier: Apache-2.0
"""A world is a function of its seed, needs no task, and its commands do what they say."""

import numpy as np
import pytest

from arx_x5_sim.tasks.push.task import place, square_positions
from arx_x5_sim.world.arm import EEF_HEIGHT_M
from arx_x5_sim.world.scene import build_model
from arx_x5_sim.world.world import World


def test_equal_seeds_give_equal_worlds(model, world):
    other = World(model)
    other.reset(8, place)
    other.step(40)
    for w in (world, other):
        w.reset(7, place)
    np.testing.assert_array_equal(world.data.qpos, other.data.qpos)
    np.testing.assert_array_equal(square_positions(world), square_positions(other))
    world.reset(8, place)
    assert np.abs(world.data.qpos - other.data.qpos).max() > 0.01


def test_a_world_without_objects_starts_where_its_task_says():
    empty = World(build_model())
    start = np.array([0.3, 0.1, EEF_HEIGHT_M])
    empty.reset(5, lambda world, rng: start)
    assert (empty.seed, empty.time_s, empty.model.nq) == (5, 0.0, 8)
    np.testing.assert_allclose(empty.eef_pose()[0], start, atol=1e-3)


def test_a_start_out_of_reach_is_named(world):
    with pytest.raises(RuntimeError, match="of seed 3 is out of reach"):
        world.reset(3, lambda world, rng: np.array([1.5, 0.0, 0.1]))


def test_gripper_follows_its_width(world):
    world.reset(0, place)
    world.set_joint_targets(world.arm_reading().position, 0.08)
    world.step(250)
    assert world.arm_reading().gripper_width == pytest.approx(0.08, abs=1e-3)
