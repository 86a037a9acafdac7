# SPDX-License-Identifier: Apache-2.0
"""The MuJoCo model: the SDK's X5 made of primitives, a table, two blocks, two squares and a fixed camera.

The base link's frame is the world frame, and the table is its plane z = 0. Everything the camera can see is
of one uniform colour per part, without shadows: an image model shall learn where things are, nothing else.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from arx_x5_sim.world.arm import TOUCHES_NOTHING, add_arm
from arx_x5_sim.world.urdf import read_chain, sdk_urdf_path

TIMESTEP_S = 0.004
BLOCK_NAMES = ("block_red", "block_blue")
SQUARE_NAMES = ("square_yellow", "square_green")
CAMERA_NAME = "front"

BLOCK_HALF_M = 0.025
BLOCK_MASS_KG = 0.08
SQUARE_HALF_M = 0.045
SQUARE_THICKNESS_M = 0.001

CAMERA_POSITION_M = np.array([0.85, 0.0, 0.70])
CAMERA_TARGET_M = np.array([0.40, 0.0, 0.0])
CAMERA_FOVY_DEG = 29.5
RENDER_SIZE_MAX_PX = 640

TABLE_RGBA = (0.72, 0.72, 0.72, 1.0)
BLOCK_RGBA = ((0.90, 0.05, 0.05, 1.0), (0.05, 0.15, 0.95, 1.0))
SQUARE_RGBA = ((1.0, 0.85, 0.0, 1.0), (0.0, 0.70, 0.25, 1.0))

_Geom = mujoco.mjtGeom


def build_model(arm_model: str = "X5_umi") -> mujoco.MjModel:
    """Compiles the world around the SDK's URDF of `arm_model`."""
    spec = mujoco.MjSpec()
    spec.modelname = f"{arm_model}_world"
    spec.compiler.degree = False
    spec.compiler.balanceinertia = True  # some of the URDF's inertias break the triangle inequality
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.visual.quality.offsamples = 0
    spec.visual.quality.shadowsize = 0
    spec.visual.global_.offwidth = RENDER_SIZE_MAX_PX
    spec.visual.global_.offheight = RENDER_SIZE_MAX_PX
    spec.visual.headlight.ambient = np.full(3, 0.45)
    spec.visual.headlight.diffuse = np.zeros(3)
    spec.visual.headlight.specular = np.zeros(3)
    spec.visual.map.znear = 0.01
    _add_table_and_light(spec)
    add_arm(spec, read_chain(sdk_urdf_path(arm_model)))
    for name, rgba in zip(BLOCK_NAMES, BLOCK_RGBA, strict=True):
        _add_block(spec, name, rgba)
    for name, rgba in zip(SQUARE_NAMES, SQUARE_RGBA, strict=True):
        _add_square(spec, name, rgba)
    _add_camera(spec)
    return spec.compile()


def _add_table_and_light(spec: Any) -> None:
    spec.worldbody.add_geom(
        name="table",
        type=_Geom.mjGEOM_PLANE,
        size=[2.0, 2.0, 0.1],
        rgba=TABLE_RGBA,
        friction=[0.5, 0.005, 0.0001],
    )
    # Slanted, so that a block's faces differ in brightness and its yaw can be seen.
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        dir=[-0.45, -0.25, -0.85],
        diffuse=np.full(3, 0.6),
        ambient=np.zeros(3),
        specular=np.zeros(3),
        castshadow=False,
    )


def _add_block(spec: Any, name: str, rgba: tuple[float, ...]) -> None:
    body = spec.worldbody.add_body(name=name, pos=[0.35, 0, BLOCK_HALF_M])
    body.add_freejoint(name=name)
    body.add_geom(
        name=name,
        type=_Geom.mjGEOM_BOX,
        size=[BLOCK_HALF_M] * 3,
        mass=BLOCK_MASS_KG,
        rgba=rgba,
        friction=[0.4, 0.005, 0.0001],
    )


def _add_square(spec: Any, name: str, rgba: tuple[float, ...]) -> None:
    body = spec.worldbody.add_body(name=name, pos=[0.48, 0, SQUARE_THICKNESS_M / 2], mocap=True)
    body.add_geom(
        name=name,
        type=_Geom.mjGEOM_BOX,
        size=[SQUARE_HALF_M, SQUARE_HALF_M, SQUARE_THICKNESS_M / 2],
        rgba=rgba,
        **TOUCHES_NOTHING,
    )


def _add_camera(spec: Any) -> None:
    backward = CAMERA_POSITION_M - CAMERA_TARGET_M
    backward /= np.linalg.norm(backward)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    rotation = np.column_stack([right, np.cross(backward, right), backward])
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, rotation.ravel())
    spec.worldbody.add_camera(name=CAMERA_NAME, pos=CAMERA_POSITION_M, quat=quaternion, fovy=CAMERA_FOVY_DEG)
