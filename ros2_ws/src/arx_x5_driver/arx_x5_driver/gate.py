# SPDX-License-Identifier: Apache-2.0
"""What forbids a step of the joints: limits that the end effector or the arm's body would break on the way to rest."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from arx_x5_driver.body import SelfDistance
from arx_x5_driver.brake import Brake
from arx_x5_driver.kinematics import Kinematics
from arx_x5_driver.rules import CARTESIAN_SPEED, SELF_COLLISION, TABLE, WORKSPACE
from arx_x5_driver.safety import CartesianRules

Array = NDArray[np.float64]

_POINTS = 9  # of the way of braking that are looked at, at least
_CHECKED_EVERY_RAD = 0.025  # of the fastest joint's way; the end effector strays below 1 mm in between
_DIFFERENCE_S = 1e-4  # over which velocities are taken; in it they change by less than 1 % of their limits
_ROUNDING = 1e-9
POSITION_TOLERANCE_M = 0.003
"""How far beyond the limits that targets keep the stopping path may lead: joints move on arcs, targets on lines."""
SPEED_TOLERANCE = 0.05
"""The same for its speed, as a share."""


class StoppingPathCheck:
    """Looks at the way of a step and of the braking after it, at points that are close together.

    At each point the arm must be inside its limits, or no further outside than where the step begins, and the end
    effector no faster than allowed.
    """

    def __init__(self, rules: CartesianRules, kinematics: Kinematics) -> None:
        self._low = rules.workspace_min - POSITION_TOLERANCE_M
        self._high = rules.workspace_max + POSITION_TOLERANCE_M
        self._floor_m = rules.floor_m - POSITION_TOLERANCE_M
        self._keypoints = rules.keypoints.T
        self._self_distance_m = rules.self_distance_m
        self._speed_m_s = rules.speed_m_s * (1.0 + SPEED_TOLERANCE)
        self._speed_rad_s = rules.speed_rad_s * (1.0 + SPEED_TOLERANCE)
        self._kinematics = kinematics
        self._self_distance = SelfDistance(kinematics.body)

    def __call__(self, here: Array, brake: Brake, dt_s: float) -> str | None:
        """See `tracker.WayCheck`."""
        shares = self._shares(brake)
        count = len(shares) + 1
        joints = np.concatenate((here[np.newaxis], brake.positions(shares)))
        moved = joints[1:] + brake.velocities(shares) * _DIFFERENCE_S
        frames = self._kinematics.frames(np.concatenate((joints, moved)))
        if self._too_fast(frames[:2, -1], dt_s) or self._too_fast(frames[1:, -1], _DIFFERENCE_S):
            return CARTESIAN_SPEED
        frames = frames[:count]
        positions = frames[:, -1, :3, 3]
        low, high = np.minimum(self._low, positions[0]), np.maximum(self._high, positions[0])
        if ((positions < low - _ROUNDING) | (positions > high + _ROUNDING)).any():
            return WORKSPACE
        heights_m = (frames[:, -1, 2, :3] @ self._keypoints).min(axis=1) + positions[:, 2]
        if (heights_m < min(self._floor_m, float(heights_m[0])) - _ROUNDING).any():
            return TABLE
        distances_m = self._self_distance(frames)
        if (distances_m < min(self._self_distance_m, float(distances_m[0])) - _ROUNDING).any():
            return SELF_COLLISION
        return None

    def _too_fast(self, tools: Array, dt_s: float) -> bool:
        """Whether the end effector moves too fast from any of its poses in the first half to that in the second."""
        half = len(tools) // 2
        change = tools[half:] - tools[:half]
        ways, turns = change[:, :3, 3], change[:, :3, :3]
        # A small turn by an angle changes the matrix by sqrt(2) times that, taking all its elements as one vector.
        return bool(
            (np.einsum("si,si->s", ways, ways) > (self._speed_m_s * dt_s) ** 2 + _ROUNDING**2).any()
            or (np.einsum("sij,sij->s", turns, turns) > 2.0 * (self._speed_rad_s * dt_s) ** 2 + _ROUNDING**2).any()
        )

    def _shares(self, brake: Brake) -> Array:
        """Where on the way to look `(S,)`: more closely at its begin, where speeds have their peaks."""
        points = max(_POINTS, math.ceil(1.7 * float(brake.reach.max()) / _CHECKED_EVERY_RAD) + 1)
        shares: Array = (np.arange(points) / (points - 1)) ** 2
        return shares
