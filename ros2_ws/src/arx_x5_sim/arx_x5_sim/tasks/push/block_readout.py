# SPDX-License-Identifier: Apache-2.0
"""Where the blocks are in an image: the same rule for real, reconstructed and predicted frames.

Blocks are found by colour (soft segmentation), and the centre of a colour's mass is mapped to the table by a cubic
polynomial fitted to rendered scenes whose truth is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from arx_x5_driver.array import Array
from arx_x5_sim.tasks.push.task import place, set_block
from arx_x5_sim.world.camera import Camera
from arx_x5_sim.world.world import World

Images = NDArray[np.uint8]
Resize = Callable[[Images], Images]

EXCESS = 0.25  # by which a colour channel must stand above the other two, of full scale
LOST_SHARE = 0.25  # of a block's usual mass of colour; below it the block counts as not found
CALIBRATION_X_M, CALIBRATION_Y_M = (0.28, 0.56), (-0.2, 0.2)


def colour_mass(images: Images) -> tuple[Array, Array]:
    """Return mass (n, 2) and centre (n, 2, 2) in [-1, 1] (column, row) of red and blue in images (n, S, S, 3)."""
    x = images.astype(np.float64) / 255
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    excess = np.stack([red - np.maximum(green, blue), blue - np.maximum(red, green)], axis=1)
    weight = np.clip(excess - EXCESS, 0, None)  # (n, 2, S, S)
    size = images.shape[1]
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    mass = weight.sum(axis=(2, 3)) / size**2
    total = np.maximum(weight.sum(axis=(2, 3)), 1e-12)
    columns = (weight.sum(axis=2) @ axis) / total
    rows = (weight.sum(axis=3) @ axis) / total
    return mass, np.stack([columns, rows], axis=-1)


def _cubic(centre: Array) -> Array:
    u, v = centre[..., 0], centre[..., 1]
    return np.stack([u**i * v**j for i in range(4) for j in range(4 - i)], axis=-1)


@dataclass(frozen=True)
class BlockReadout:
    """Positions of the blocks from images of the size that it was calibrated for."""

    coefficients: Array  # (2, 10, 2) per block: cubic terms -> x, y
    usual_mass: Array  # (2,)

    @classmethod
    def calibrate(
        cls, model: mujoco.MjModel, camera: Camera, resize: Resize, scenes: int = 400, seed: int = 0
    ) -> BlockReadout:
        """Fit to rendered scenes with the blocks anywhere on the table.

        Args:
            model: the world's model.
            camera: renders it.
            resize: maps (n, H, W, 3) images to the (n, S, S, 3) images that are going to be read.
            scenes: how many to render.
            seed: of the scenes.
        """
        rng = np.random.default_rng(seed)
        world = World(model)
        images, truth = [], []
        for i in range(scenes):
            world.reset(i, place)
            while True:
                positions = np.column_stack([rng.uniform(*CALIBRATION_X_M, 2), rng.uniform(*CALIBRATION_Y_M, 2)])
                if np.linalg.norm(positions[0] - positions[1]) > 0.08:
                    break
            for block, position in enumerate(positions):
                set_block(world, block, np.array([*position, rng.uniform(-np.pi, np.pi)]))
            mujoco.mj_forward(model, world.data)
            images.append(camera.render(world))
            truth.append(positions)
        mass, centre = colour_mass(resize(np.stack(images)))
        usual = np.median(mass, axis=0)
        coefficients = []
        for block in range(2):
            seen = mass[:, block] > 0.6 * usual[block]
            terms, target = _cubic(centre[seen, block]), np.stack(truth)[seen, block]
            coefficients.append(np.linalg.lstsq(terms, target, rcond=None)[0])
        return cls(np.stack(coefficients), usual)

    def __call__(self, images: Images) -> tuple[Array, NDArray[np.bool_]]:
        """Read images (n, S, S, 3): positions (n, 2, 2) in m, and which blocks were lost (n, 2)."""
        mass, centre = colour_mass(images)
        terms = _cubic(centre)
        position = np.stack([terms[:, b] @ self.coefficients[b] for b in range(2)], axis=1)
        return position, mass < LOST_SHARE * self.usual_mass
