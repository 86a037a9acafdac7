# SPDX-License-Identifier: Apache-2.0
"""Forward and damped-least-squares inverse kinematics of the arm, on MuJoCo's own kinematics."""

from __future__ import annotations

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from arx_x5_driver.array import Array
from arx_x5_sim.world.arm import EEF_SITE, JOINT_MAX_RAD, JOINT_MIN_RAD

DAMPING = 0.01
STEP_MAX_RAD = 0.3
ITERATIONS_MAX = 30
POSITION_TOLERANCE_M = 1e-4
ROTATION_TOLERANCE_RAD = 1e-3


class MujocoKinematics:
    """Kinematics of one arm. Owns scratch data, so do not share an instance between threads."""

    def __init__(self, model: mujoco.MjModel) -> None:
        """Prepare scratch data of `model`, whose first six joints are the arm's."""
        self._model = model
        self._data = mujoco.MjData(model)
        self._site = model.site(EEF_SITE).id
        self._jacobian = np.zeros((6, model.nv))

    def forward(self, position: Array) -> tuple[Array, Array]:
        """Map joints (6,) to the EEF's position (3,) and quaternion xyzw (4,) in the base link's frame."""
        self._update(position)
        rotation = Rotation.from_matrix(self._data.site_xmat[self._site].reshape(3, 3))
        return self._data.site_xpos[self._site].copy(), rotation.as_quat()

    def inverse(self, eef_position: Array, eef_quaternion: Array, seed_position: Array) -> tuple[Array, bool]:
        """Find joints that reach a pose, close to a seed.

        Args:
            eef_position: Target position (3,) in the base link's frame.
            eef_quaternion: Target orientation (4,), xyzw.
            seed_position: Joints (6,) to start from: the current ones.

        Returns:
            Joints (6,) within the limits, and whether they reach the target. When they do not, they are the
            nearest that was found.
        """
        target = Rotation.from_quat(eef_quaternion)
        position = np.clip(seed_position, JOINT_MIN_RAD, JOINT_MAX_RAD)
        best, best_error = position, np.inf
        for _ in range(ITERATIONS_MAX):
            self._update(position)
            current = Rotation.from_matrix(self._data.site_xmat[self._site].reshape(3, 3))
            error = np.concatenate(
                [eef_position - self._data.site_xpos[self._site], (target * current.inv()).as_rotvec()]
            )
            distance_m, angle_rad = float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))
            if distance_m < POSITION_TOLERANCE_M and angle_rad < ROTATION_TOLERANCE_RAD:
                return position, True
            if distance_m + 0.1 * angle_rad < best_error:
                best, best_error = position, distance_m + 0.1 * angle_rad
            position = np.clip(position + self._newton_step(error), JOINT_MIN_RAD, JOINT_MAX_RAD)
        return best, False

    def _newton_step(self, error: Array) -> Array:
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacSite(self._model, self._data, self._jacobian[:3], self._jacobian[3:], self._site)
        jacobian = self._jacobian[:, :6]
        step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + DAMPING**2 * np.eye(6), error)
        return np.asarray(step * min(1.0, STEP_MAX_RAD / max(float(np.abs(step).max()), 1e-9)))

    def _update(self, position: Array) -> None:
        self._data.qpos[:6] = position
        mujoco.mj_kinematics(self._model, self._data)
