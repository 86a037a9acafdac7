# SPDX-License-Identifier: Apache-2.0
"""The MuJoCo model: the SDK's X5 made of primitives, a table, a fixed camera, and the objects of a task.

The base link's frame is the world frame, and the table is its plane z = 0. Each part has one uniform colour, and
there are no shadows, so that an image model learns where things are and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np

from arx_x5_sim.world.arm import add_arm
from arx_x5_sim.world.urdf import read_chain, sdk_urdf_path

TIMESTEP_S = 0.004
CAMERA_NAME = "front"

CAMERA_POSITION_M = np.array([0.85, 0.0, 0.70])
CAMERA_TARGET_M = np.array([0.40, 0.0, 0.0])
CAMERA_FOVY_DEG = 29.5
RENDER_SIZE_MAX_PX = 640

TABLE_RGBA = (0.72, 0.72, 0.72, 1.0)


def build_model(add_objects: Callable[[Any], None] | None = None, arm_model: str = "X5_umi") -> mujoco.MjModel:
    """Compile the world around the SDK's URDF of `arm_model`.

    Args:
        add_objects: adds the objects of a task to the `mujoco.MjSpec` that it is given; None: an empty table.
        arm_model: name of a URDF that comes with the SDK.

    Raises:
        FileNotFoundError: the SDK is not installed, or has no such URDF.
    """
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
    if add_objects is not None:
        add_objects(spec)
    _add_camera(spec)
    return spec.compile()


def _add_table_and_light(spec: Any) -> None:
    spec.worldbody.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
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


def _add_camera(spec: Any) -> None:
    backward = CAMERA_POSITION_M - CAMERA_TARGET_M
    backward /= np.linalg.norm(backward)
    right = np.cross([0.0, 0.0, 1.0], backward)
    right /= np.linalg.norm(right)
    rotation = np.column_stack([right, np.cross(backward, right), backward])
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, rotation.ravel())
    spec.worldbody.add_camera(name=CAMERA_NAME, pos=CAMERA_POSITION_M, quat=quaternion, fovy=CAMERA_FOVY_DEG)
