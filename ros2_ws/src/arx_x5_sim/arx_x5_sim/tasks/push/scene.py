# SPDX-License-Identifier: Apache-2.0
"""The objects of the pushing task in the MuJoCo model: two blocks, and two squares to push them onto."""

from __future__ import annotations

from typing import Any

import mujoco

from arx_x5_sim.world.arm import TOUCHES_NOTHING
from arx_x5_sim.world.scene import build_model

BLOCK_NAMES = ("block_red", "block_blue")
SQUARE_NAMES = ("square_yellow", "square_green")

BLOCK_HALF_M = 0.025
BLOCK_MASS_KG = 0.08
SQUARE_HALF_M = 0.045
SQUARE_THICKNESS_M = 0.001

BLOCK_RGBA = ((0.90, 0.05, 0.05, 1.0), (0.05, 0.15, 0.95, 1.0))
SQUARE_RGBA = ((1.0, 0.85, 0.0, 1.0), (0.0, 0.70, 0.25, 1.0))


def build_push_model(arm_model: str = "X5_umi") -> mujoco.MjModel:
    """Compile the world with the objects of this task. Raises as `build_model` does."""
    return build_model(add_objects, arm_model)


def add_objects(spec: Any) -> None:
    """Add blocks and squares to a `mujoco.MjSpec`."""
    for name, rgba in zip(BLOCK_NAMES, BLOCK_RGBA, strict=True):
        _add_block(spec, name, rgba)
    for name, rgba in zip(SQUARE_NAMES, SQUARE_RGBA, strict=True):
        _add_square(spec, name, rgba)


def _add_block(spec: Any, name: str, rgba: tuple[float, ...]) -> None:
    body = spec.worldbody.add_body(name=name, pos=[0.35, 0, BLOCK_HALF_M])
    body.add_freejoint(name=name)
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[BLOCK_HALF_M] * 3,
        mass=BLOCK_MASS_KG,
        rgba=rgba,
        friction=[0.4, 0.005, 0.0001],
    )


def _add_square(spec: Any, name: str, rgba: tuple[float, ...]) -> None:
    body = spec.worldbody.add_body(name=name, pos=[0.48, 0, SQUARE_THICKNESS_M / 2], mocap=True)
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[SQUARE_HALF_M, SQUARE_HALF_M, SQUARE_THICKNESS_M / 2],
        rgba=rgba,
        **TOUCHES_NOTHING,
    )
