# SPDX-License-Identifier: Apache-2.0
"""Kinematics of the X5 by the SDK's solver, with the URDF that the SDK installs.

The inverse first takes Newton steps on the SDK's forward kinematics: targets come every few milliseconds and lie
close together, so one step nearly always does. Only where they fail is the SDK's own search used. It takes
longer, and it returns the angles it was given while they are within 0.1 mm and 0.01 rad of the target, which would
turn a slow rotation into steps. Neither keeps joint limits, whatever the solver is constructed with, nor a branch of
solutions: `motion.cartesian_filter` does.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from arx_x5_driver.arm import JOINT_COUNT
from arx_x5_driver.array import Array
from arx_x5_driver.geometry.body import Body, arm_capsules
from arx_x5_driver.geometry.chain import Chain
from arx_x5_driver.geometry.limits import LIMITS, ArmLimits
from arx_x5_driver.geometry.se3 import Pose, quaternion_from_rpy, rotation_vector, rpy_from_quaternion

_DAMPING = 1e-6  # keeps Newton steps finite at singularities
_NEWTON_STEPS = 3
_GAIN_REUSE_RAD = 0.05  # the Jacobian changes by about as much, so that a step leaves 5 % of the error
_EVEN = 10.0  # condition number of most poses; where it is higher the Jacobian's inverse changes faster
_EXACT = 1e-7  # m and rad
_CLOSE_ENOUGH = 1e-4  # m and rad; the motors resolve no more
_UNITS = np.array((0.3, 0.3, 0.3, 1.0, 1.0, 1.0))  # equal to a radian: about the forearm's length [m]
_SOLVED = 0  # KDL::SolverI::E_NOERROR


class SdkMissingError(RuntimeError):
    """The package arx5-interface is not installed or does not load."""


def import_sdk() -> Any:
    """Return the SDK's Python module. Raises `SdkMissingError`, which says how to get it."""
    try:
        return import_module("arx5_interface")
    except ImportError as error:
        raise SdkMissingError(f"the ARX SDK is missing ({error}): pip install arx5-interface") from error


class Kinematics(Protocol):
    """The geometry of an arm, as the controller uses it."""

    @property
    def body(self) -> Body:
        """The arm's body, in the frames of `frames`."""
        ...

    @property
    def levers_m(self) -> Sequence[float]:
        """Greatest distance of the end effector from each joint."""
        ...

    def forward(self, joints: Array) -> Pose:
        """Return the end effector's pose in the base frame at joint angles `(6,)` [rad]."""
        ...

    def inverse(self, pose: Pose, seed: Array) -> Array | None:
        """Return joint angles `(6,)` near the seed for a pose, perhaps beyond limits; None if there are none."""
        ...

    def frames(self, joints: Array) -> Array:
        """Return poses `(links, S, 4, 4)` of all links in the base frame at joints `(S, 6)`, the end effector last."""
        ...

    def condition(self, joints: Array) -> float:
        """Return the condition number at joints `(6,)`: from 1 to infinity, which is a singularity."""
        ...


class SdkKinematics:
    """Kinematics of one arm model; about 0.01 ms forward, 0.1 ms inverse."""

    def __init__(self, model: str) -> None:
        """Load the model's URDF. Raises `SdkMissingError`, or `ValueError` for an unknown model."""
        limits_of(model)
        sdk = import_sdk()
        with _native_output_dropped():
            config = sdk.RobotConfigFactory.get_instance().get_config(model)
            self._solver = sdk.Arx5Solver(
                config.urdf_path,
                config.joint_dof,
                config.joint_pos_min,
                config.joint_pos_max,
                config.base_link_name,
                config.eef_link_name,
                config.gravity_vector,
            )
        self._chain = Chain(Path(config.urdf_path), config.base_link_name, config.eef_link_name)
        lengths_m = self._chain.link_lengths_m
        self._body = Body(arm_capsules(lengths_m[0], self._chain.tool_length_m), lengths_m)
        self._gain: Array = np.zeros((6, JOINT_COUNT))
        self._condition = 1.0
        self._gain_at: Array = np.full(JOINT_COUNT, np.nan)

    @property
    def body(self) -> Body:
        """See `Kinematics`."""
        return self._body

    @property
    def levers_m(self) -> Sequence[float]:
        """See `Kinematics`."""
        return self._chain.levers_m

    def forward(self, joints: Array) -> Pose:
        """See `Kinematics`."""
        x, y, z, roll, pitch, yaw = self._solver.forward_kinematics(joints).tolist()
        return Pose(np.array((x, y, z)), quaternion_from_rpy(roll, pitch, yaw))

    def inverse(self, pose: Pose, seed: Array) -> Array | None:
        """See `Kinematics`."""
        joints = self._refine(pose, seed)
        if joints is not None:
            return joints
        target = np.array((*pose.position.tolist(), *rpy_from_quaternion(pose.quaternion)))
        status, found = self._solver.inverse_kinematics(target, seed)
        if status != _SOLVED or not np.isfinite(found).all():
            return None
        # At a singularity the steps may not converge, but the SDK takes what it found for a solution.
        refined = self._refine(pose, found)
        return found if refined is None else refined

    def frames(self, joints: Array) -> Array:
        """See `Kinematics`."""
        return self._chain.frames(joints)

    def condition(self, joints: Array) -> float:
        """See `Kinematics`; at these or very close joint angles."""
        self._newton_gain(joints)
        return self._condition

    def _refine(self, pose: Pose, joints: Array) -> Array | None:
        """Return joints after Newton steps to the pose, None if the steps do not converge."""
        error = _difference(self.forward(joints), pose)
        for _ in range(_NEWTON_STEPS):
            if np.abs(error).max() <= _EXACT:
                break
            joints = joints + self._newton_gain(joints) @ error
            error = _difference(self.forward(joints), pose)
            if np.abs(error).max() <= _CLOSE_ENOUGH:
                break
        return joints if np.abs(error).max() <= _CLOSE_ENOUGH else None

    def _newton_gain(self, joints: Array) -> Array:
        """Return the damped inverse `(6, 6)` of the Jacobian, of very close joint angles if known: it costs time."""
        if not np.abs(joints - self._gain_at).max() * max(self._condition, _EVEN) <= _GAIN_REUSE_RAD * _EVEN:
            left, stretches, right = np.linalg.svd(self._chain.jacobian(joints) / _UNITS[:, np.newaxis])
            damped = stretches / (stretches * stretches + _DAMPING)
            self._gain = (right.T * damped) @ left.T / _UNITS
            self._gain_at = joints.copy()
            self._condition = float(stretches[0] / max(stretches[-1], 1e-12))
        return self._gain


@contextmanager
def _native_output_dropped() -> Iterator[None]:
    """Keep the SDK's C++ messages about the URDF off the terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        yield
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (*saved, sink):
            os.close(descriptor)


def limits_of(model: str) -> ArmLimits:
    """Return the limits of an arm model. Raises `ValueError`, which names the known ones."""
    if model not in LIMITS:
        raise ValueError(f"unknown arm model '{model}', known are {', '.join(LIMITS)}")
    return LIMITS[model]


def _difference(first: Pose, second: Pose) -> Array:
    """Return the difference of two poses: position [m] and rotation vector [rad] `(6,)`."""
    turn = rotation_vector(first.quaternion, second.quaternion)
    return np.concatenate((second.position - first.position, turn))
