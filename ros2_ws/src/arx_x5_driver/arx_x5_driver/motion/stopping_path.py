# SPDX-License-Identifier: Apache-2.0
"""Check of the path after a step: limits that the end effector or the arm's body would break on the way to rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from arx_x5_driver.array import Array
from arx_x5_driver.geometry.kinematics import Kinematics
from arx_x5_driver.motion.braking import Brake, Samples
from arx_x5_driver.rules.cartesian import CartesianRules
from arx_x5_driver.rules.rules import CARTESIAN_SPEED, SELF_COLLISION, TABLE, WORKSPACE

_POINTS = 9  # of the stopping path that are checked, at least
_CHECKED_EVERY_RAD = 0.025  # of the fastest joint's path; in between the end effector strays by less than 1 mm
_DIFFERENCE_S = 1e-4  # over which velocities are taken; in it they change by less than 1 % of their limits
_ROUNDING = 1e-9
POSITION_TOLERANCE_M = 0.003
"""How far the stopping path may exceed the limits that targets keep: joints move on arcs, targets on lines."""
SPEED_TOLERANCE = 0.04
"""The same for its speed, as a share. Between two points of the path the speed is up to 2.6 % higher than at them, so
that it exceeds its limit by less than 7 %."""


class StoppingPathCheck:
    """Check the path of a step and of the braking after it, at points that are close together.

    At each point the arm must be inside its limits, or no further outside than where the step begins, and the end
    effector no faster than allowed.
    """

    def __init__(self, rules: CartesianRules, kinematics: Kinematics) -> None:
        """Check these rules for an arm of this geometry."""
        self._low = rules.workspace_min - POSITION_TOLERANCE_M
        self._high = rules.workspace_max + POSITION_TOLERANCE_M
        self._floor_m = rules.floor_m - POSITION_TOLERANCE_M
        self._keypoints = np.vstack((rules.keypoints.T, np.ones(len(rules.keypoints))))
        self._self_distance_m = rules.self_distance_m
        # A small rotation by an angle changes a rotation matrix, as a vector of nine numbers, by sqrt(2) times that. So
        # these sum up squared changes of a pose's 16 elements to squares of the least time that they may take.
        speeds = np.array((rules.speed_m_s, math.sqrt(2.0) * rules.speed_rad_s)) * (1.0 + SPEED_TOLERANCE)
        parts = np.zeros((2, 4, 4))
        parts[0, :3, 3] = parts[1, :3, :3] = 1.0
        self._squares_to_times = (parts.reshape(2, 16) / speeds[:, np.newaxis] ** 2).T
        self._rounding_s2 = (_ROUNDING / speeds) ** 2
        self._kinematics = kinematics
        self._body = kinematics.body
        self._free_at: Array = np.full(self._body.levers_m.shape[1], math.nan)
        self._free_m: Array = np.zeros(len(self._body.levers_m))

    def __call__(self, here: Sequence[float], brake: Brake, dt_s: float) -> str | None:
        """See `joint_tracker.PathCheck`."""
        joints = np.concatenate(([here], _samples(_points(brake)).of(brake)))
        count = len(joints) // 2 + 1
        frames = self._kinematics.frames(joints)
        if self._too_fast(frames[-1], count, dt_s):
            return CARTESIAN_SPEED
        frames = frames[:, :count]
        tools = frames[-1, :, :3]
        points = tools[:, :, 3]
        low, high = np.minimum(self._low, points[0]), np.maximum(self._high, points[0])
        if ((points < low - _ROUNDING) | (points > high + _ROUNDING)).any():
            return WORKSPACE
        heights_m = (tools[:, 2] @ self._keypoints).min(axis=1)
        if heights_m.min() < min(self._floor_m, float(heights_m[0])) - _ROUNDING:
            return TABLE
        return SELF_COLLISION if self._touches_itself(here, brake, frames) else None

    def _too_fast(self, tools: Array, count: int, dt_s: float) -> bool:
        """Return whether the end effector is too fast from its first pose to the second, or at any pose after it."""
        changes = np.concatenate((tools[1:2] - tools[:1], tools[count:] - tools[1:count])).reshape(count, 16)
        times_s2 = np.square(changes) @ self._squares_to_times - self._rounding_s2
        return bool((times_s2[0] > dt_s * dt_s).any() or (times_s2[1:] > _DIFFERENCE_S * _DIFFERENCE_S).any())

    def _touches_itself(self, here: Sequence[float], brake: Brake, frames: Array) -> bool:
        """Return whether parts of the arm come too close; skip the costly check while they cannot have moved so far."""
        turns = np.abs(self._free_at - brake.start.position) + brake.reach
        if (self._body.levers_m @ turns < self._free_m).all():
            return False
        distances_m = self._body.distances(frames)
        self._free_at, self._free_m = np.array(here), distances_m[0] - self._self_distance_m
        return bool((distances_m < np.minimum(self._self_distance_m, distances_m[0]) - _ROUNDING).any())


def _points(brake: Brake) -> int:
    """Return the number of points at which a brake is checked."""
    return max(_POINTS, math.ceil(1.7 * max(brake.reach) / _CHECKED_EVERY_RAD) + 1)


@cache
def _samples(points: int) -> Samples:
    """Return the points to check: closer together at the beginning of the path, where speeds have their peaks.

    The exponent makes the highest speed between points exceed that at the points least, of all that were tried.
    """
    return Samples((np.arange(points) / (points - 1)) ** 1.5, _DIFFERENCE_S)
