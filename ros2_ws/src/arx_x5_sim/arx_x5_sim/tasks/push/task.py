# SPDX-License-Identifier: Apache-2.0
"""Push any block onto any square: where everything starts, where it is now, and when the task is solved.

The state is in the `World`; these functions read and write it. All poses are in the frame `base_link`.
"""

from __future__ import annotations

import numpy as np

from arx_x5_driver.array import Array
from arx_x5_sim.tasks.push.scene import BLOCK_HALF_M, BLOCK_NAMES, SQUARE_NAMES, SQUARE_THICKNESS_M
from arx_x5_sim.world.arm import EEF_HEIGHT_M
from arx_x5_sim.world.world import World

SUCCESS_RADIUS_M = 0.04

BLOCK_X_M = (0.32, 0.38)
SQUARE_X_M = (0.46, 0.51)
OBJECT_Y_M = (-0.15, 0.15)
OBJECT_GAP_Y_M = 0.11  # between the two blocks, and between the two squares
PUSH_MIN_M = 0.13  # from any block to any square; closer ones are solved by chance too often
BLOCK_YAW_RAD = (-np.pi / 4, np.pi / 4)
EEF_START_X_M = (0.25, 0.27)
EEF_START_Y_M = (-0.04, 0.04)


def place(world: World, rng: np.random.Generator) -> Array:
    """Put blocks and squares where `rng` says; return where the end effector starts, (3,) in m.

    The order of the draws is part of the data sets and of the published results.
    """
    blocks, squares = _draw_layout(rng)
    for i, block in enumerate(blocks):
        set_block(world, i, np.array([*block, rng.uniform(*BLOCK_YAW_RAD)]))
    for i, square in enumerate(squares):
        set_square(world, i, square)
    return np.array([rng.uniform(*EEF_START_X_M), rng.uniform(*EEF_START_Y_M), EEF_HEIGHT_M])


def block_poses(world: World) -> Array:
    """Return x, y and yaw of each block, (2, 3), in m and rad."""
    poses = np.zeros((len(BLOCK_NAMES), 3))
    for i, name in enumerate(BLOCK_NAMES):
        px, py, _, w, x, y, z = world.data.joint(name).qpos
        poses[i] = (px, py, np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))
    return poses


def square_positions(world: World) -> Array:
    """Return x and y of each square's centre, (2, 2), in m."""
    return np.array([world.data.mocap_pos[_mocap_id(world, name), :2] for name in SQUARE_NAMES])


def set_block(world: World, index: int, pose: Array) -> None:
    """Put a block at x, y, yaw (3,), at rest on the table."""
    joint, half_yaw = world.data.joint(BLOCK_NAMES[index]), pose[2] / 2
    joint.qpos[:] = (pose[0], pose[1], BLOCK_HALF_M, np.cos(half_yaw), 0.0, 0.0, np.sin(half_yaw))
    joint.qvel[:] = 0.0


def set_square(world: World, index: int, position: Array) -> None:
    """Put a square's centre at x, y (2,)."""
    mocap_id = _mocap_id(world, SQUARE_NAMES[index])
    world.data.mocap_pos[mocap_id] = (position[0], position[1], SQUARE_THICKNESS_M / 2)


def pair_distances_m(world: World) -> Array:
    """Return the distance of each block's centre from each square's, (blocks, squares)."""
    offsets = block_poses(world)[:, None, :2] - square_positions(world)[None, :, :]
    return np.asarray(np.linalg.norm(offsets, axis=-1))


def solved(world: World) -> bool:
    """Tell whether any block lies on any square."""
    return bool((pair_distances_m(world) < SUCCESS_RADIUS_M).any())


def _mocap_id(world: World, body_name: str) -> int:
    return int(world.model.body(body_name).mocapid[0])


def _draw_layout(rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw positions of the blocks (2, 2) and squares (2, 2) with gaps between them."""
    while True:
        blocks = np.column_stack([rng.uniform(*BLOCK_X_M, size=2), rng.uniform(*OBJECT_Y_M, size=2)])
        squares = np.column_stack([rng.uniform(*SQUARE_X_M, size=2), rng.uniform(*OBJECT_Y_M, size=2)])
        gaps_y = np.abs([blocks[0, 1] - blocks[1, 1], squares[0, 1] - squares[1, 1]])
        pushes = np.linalg.norm(blocks[:, None] - squares[None], axis=-1)
        if gaps_y.min() > OBJECT_GAP_Y_M and pushes.min() > PUSH_MIN_M:
            return blocks, squares
