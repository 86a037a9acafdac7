# SPDX-License-Identifier: Apache-2.0
"""Layouts of the pushing task keep their gaps, and a block on a square solves it."""

import numpy as np

from arx_x5_sim.tasks.push.task import (
    EEF_START_X_M,
    OBJECT_GAP_Y_M,
    PUSH_MIN_M,
    SUCCESS_RADIUS_M,
    block_poses,
    pair_distances_m,
    place,
    set_block,
    solved,
    square_positions,
)


def test_layouts_keep_their_gaps_and_are_at_rest(world):
    for seed in range(30):
        world.reset(seed, place)
        blocks, squares = block_poses(world), square_positions(world)
        assert abs(blocks[0, 1] - blocks[1, 1]) > OBJECT_GAP_Y_M - 1e-3
        assert abs(squares[0, 1] - squares[1, 1]) > OBJECT_GAP_Y_M
        assert pair_distances_m(world).min() > PUSH_MIN_M - 1e-3
        assert EEF_START_X_M[0] - 1e-3 < world.eef_pose()[0][0] < EEF_START_X_M[1] + 1e-3
        assert np.abs(world.data.qvel).max() < 1e-3


def test_layouts_are_those_that_results_were_published_for(world):
    world.reset(20_000, place)
    np.testing.assert_allclose(square_positions(world), [[0.506181, 0.132433], [0.464801, -0.066523]], atol=1e-6)
    np.testing.assert_allclose(
        block_poses(world), [[0.33406, 0.12595, -0.27055], [0.33291, -0.07004, -0.13137]], atol=1e-4
    )


def test_a_block_on_a_square_is_solved(world):
    world.reset(0, place)
    assert not solved(world)
    pose = np.array([*square_positions(world)[0], 0.3])
    set_block(world, 1, pose)
    assert solved(world)
    np.testing.assert_allclose(block_poses(world)[1], pose)
    on_square = pair_distances_m(world) < SUCCESS_RADIUS_M
    assert on_square.tolist() == [[False, False], [True, False]]
