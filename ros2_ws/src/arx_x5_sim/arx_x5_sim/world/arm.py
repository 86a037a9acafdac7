# SPDX-License-Identifier: Apache-2.0
"""The arm of the MuJoCo model: the SDK's own chain made of primitives, with a gripper that holds a peg.

Only the peg collides.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from arx_x5_driver.geometry.urdf import Link

JOINT_NAMES = tuple(f"joint{i}" for i in range(1, 7))
FINGER_NAMES = ("finger_left", "finger_right")
EEF_SITE = "eef"

# The SDK's own limits of X5 and X5_umi (its include/app/config.h): the URDF's are wider or contradictory.
JOINT_MIN_RAD = np.array([-3.14, -0.05, -0.1, -1.6, -1.57, -2.0])
JOINT_MAX_RAD = np.array([2.618, 3.50, 3.20, 1.55, 1.57, 2.0])
JOINT_TORQUE_MAX_NM = np.array([30.0, 40.0, 30.0, 15.0, 10.0, 10.0])
GRIPPER_WIDTH_MAX_M = 0.086
GRIPPER_FORCE_MAX_N = 20.0  # a guess: the SDK limits the motor, at 1.5 Nm, not the fingers

# Position servos. With the base's gains the light wrist would chatter between its torque limits.
JOINT_KP = np.array([600.0, 600.0, 600.0, 150.0, 75.0, 75.0])
JOINT_KV = JOINT_KP / 15.0
FINGER_KP = 200.0
FINGER_KV = 10.0
JOINT_ARMATURE = 0.01  # kg m^2, a guess at the geared rotors; keeps the light wrist well conditioned

TOOL_PITCH_RAD = np.deg2rad(62.0)
PEG_RADIUS_M = 0.0125
EEF_HEIGHT_M = 0.055
PEG_CLEARANCE_M = 0.005  # between the peg's tip and the table at EEF_HEIGHT_M

ARM_RGBA = (0.42, 0.42, 0.44, 1.0)
GRIPPER_RGBA = (0.30, 0.30, 0.32, 1.0)
PEG_RGBA = (0.05, 0.05, 0.06, 1.0)

TOUCHES_NOTHING = {"contype": 0, "conaffinity": 0}
_Geom = mujoco.mjtGeom


def add_arm(spec: Any, chain: list[Link]) -> None:
    """Add the arm of `chain`, its servos and its gripper to a `mujoco.MjSpec`."""
    base = spec.worldbody.add_body(name="base_link")
    base.add_geom(type=_Geom.mjGEOM_CYLINDER, size=[0.05, 0.03, 0], pos=[0, 0, 0.03], rgba=ARM_RGBA, **TOUCHES_NOTHING)
    parent = base
    for index, link in enumerate(chain):
        if link.joint_type == "fixed":
            _add_gripper(spec, parent, link.origin_m)
            continue
        body = parent.add_body(name=link.name, pos=link.origin_m, quat=_wxyz(link), gravcomp=1.0)
        if link.inertial is None:
            raise ValueError(f"link '{link.name}' has no mass: MuJoCo cannot simulate it")
        body.explicitinertial = True
        body.mass = link.inertial.mass_kg
        body.ipos = link.inertial.centre_m
        body.fullinertia = link.inertial.full_inertia
        joint = JOINT_NAMES.index(link.joint_name)
        body.add_joint(
            name=link.joint_name,
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=link.axis,
            range=[JOINT_MIN_RAD[joint], JOINT_MAX_RAD[joint]],
            limited=True,
            armature=JOINT_ARMATURE,
        )
        spec.add_actuator(
            name=link.joint_name,
            target=link.joint_name,
            forcerange=[-JOINT_TORQUE_MAX_NM[joint], JOINT_TORQUE_MAX_NM[joint]],
            ctrlrange=[JOINT_MIN_RAD[joint], JOINT_MAX_RAD[joint]],
            **_position_actuator(JOINT_KP[joint], JOINT_KV[joint]),
        )
        following = chain[index + 1]
        if following.joint_type != "fixed":
            body.add_geom(
                type=_Geom.mjGEOM_CAPSULE,
                fromto=[0, 0, 0, *following.origin_m],
                size=[0.03 if index < 3 else 0.026, 0, 0],
                rgba=ARM_RGBA,
                **TOUCHES_NOTHING,
            )
        parent = body


def _add_gripper(spec: Any, link6: Any, eef_m: NDArray[np.float64]) -> None:
    """Add the hand, two finger slides, and the peg: it is vertical when the tool has its home pitch."""
    reach = eef_m[0]
    box = {"type": _Geom.mjGEOM_BOX, "rgba": GRIPPER_RGBA, **TOUCHES_NOTHING}
    link6.add_geom(pos=[0.35 * reach, 0, 0], size=[0.3 * reach, 0.026, 0.020], **box)
    link6.add_site(name=EEF_SITE, pos=eef_m, size=[0.005, 0, 0], rgba=[0, 0, 0, 0])
    for name, side in zip(FINGER_NAMES, (1.0, -1.0), strict=True):
        finger = link6.add_body(name=name, pos=[0.8 * reach, side * 0.004, 0], gravcomp=1.0)
        finger.add_geom(size=[0.2 * reach, 0.004, 0.010], mass=0.03, **box)
        finger.add_joint(
            name=name,
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=[0, side, 0],
            range=[0.0, GRIPPER_WIDTH_MAX_M / 2],
            limited=True,
            armature=0.05,
        )
        spec.add_actuator(
            name=name,
            target=name,
            forcerange=[-GRIPPER_FORCE_MAX_N, GRIPPER_FORCE_MAX_N],
            ctrlrange=[0.0, GRIPPER_WIDTH_MAX_M / 2],
            **_position_actuator(FINGER_KP, FINGER_KV),
        )
    down = np.array([np.sin(TOOL_PITCH_RAD), 0.0, -np.cos(TOOL_PITCH_RAD)])  # in the tilted tool
    tip = eef_m + (EEF_HEIGHT_M - PEG_CLEARANCE_M - PEG_RADIUS_M) * down
    link6.add_geom(
        name="peg",
        type=_Geom.mjGEOM_CAPSULE,
        fromto=[*(eef_m - 0.01 * down), *tip],
        size=[PEG_RADIUS_M, 0, 0],
        rgba=PEG_RGBA,
        friction=[0.4, 0.005, 0.0001],
    )


def _position_actuator(kp: float, kv: float) -> dict[str, Any]:
    """Return the gains of force = kp (control - position) - kv velocity, as MuJoCo's <position> has them."""
    return {
        "trntype": mujoco.mjtTrn.mjTRN_JOINT,
        "gaintype": mujoco.mjtGain.mjGAIN_FIXED,
        "biastype": mujoco.mjtBias.mjBIAS_AFFINE,
        "gainprm": [kp] + [0.0] * 9,
        "biasprm": [0.0, -kp, -kv] + [0.0] * 7,
        "ctrllimited": True,
        "forcelimited": True,
    }


def _wxyz(link: Link) -> NDArray[np.float64]:
    x, y, z, w = link.rotation.as_quat()
    return np.array([w, x, y, z])
