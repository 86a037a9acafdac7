# SPDX-License-Identifier: Apache-2.0
"""The path to rest: how all joints brake together from any motion, within limits of acceleration and jerk.

With v and a the velocity and acceleration at the beginning, T the time to rest and s = t / T, every joint follows

    velocity(s) = v (1 - s)^2 (1 + 2 s) + a T s (1 - s)^2,

the only cubic that fits v and a at its beginning and is at rest, without acceleration, at its end. So the rest of a
braking after any time is the braking from the motion at that time, on which `joint_tracker` relies. Its jerk is
greatest at an end, its extremes have closed forms, and with a = 0 the joints stay on a straight line in joint space.

The control loop comes here several times in a period, with a handful of joints: for so few, plain numbers are faster
than arrays. Only the samples of a whole path are arrays.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple, TypeVar

import numpy as np

from arx_x5_driver.array import Array

_Share = TypeVar("_Share", float, Array)


def braking_time_s(velocity: float, acceleration: float, acceleration_max: float, jerk_max: float) -> float:
    """Return the shortest time T in which a joint can brake within its limits; any longer one keeps them, too.

    Args:
        velocity: at the beginning.
        acceleration: at the beginning, at most `acceleration_max`.
        acceleration_max: limit.
        jerk_max: limit.
    """
    speed = abs(velocity)
    along = -acceleration if velocity < 0.0 else acceleration  # in the direction of motion
    # |6 v + 4 a T| <= J T^2 at the beginning and |6 v + 2 a T| <= J T^2 at the end; which binds depends on the sign.
    six = 6.0 * jerk_max * speed
    if along > 0.0:
        # With y = a / a_max the acceleration's peak is a_max where 1.5 v / (T a_max) = (1 - y + sqrt(1 + y)) / 2.
        share = along / acceleration_max
        by_acceleration_s = 3.0 * speed / (acceleration_max * (1.0 - share + sqrt(1.0 + share)))
        by_jerk = 2.0 * along + sqrt(4.0 * along * along + six)
    else:
        by_acceleration_s = 1.5 * speed / acceleration_max
        by_jerk = sqrt(along * along + six) + along
        swinging = 4.0 * along * along - six
        if swinging > 0.0:  # its speed ends before its deceleration does, and it moves back
            by_jerk = max(by_jerk, sqrt(swinging) - 2.0 * along)
    return max(by_acceleration_s, by_jerk / jerk_max)


def peak_velocity(velocity: float, acceleration: float, duration_s: float) -> float:
    """Return the velocity that is farthest from zero while a joint brakes."""
    change = acceleration * duration_s
    s = _share(change, 6.0 * velocity + 3.0 * change)
    inside = (1.0 - s) * (1.0 - s) * ((1.0 + 2.0 * s) * velocity + s * change)
    return inside if abs(inside) > abs(velocity) else velocity


def farthest_positions(velocity: float, acceleration: float, duration_s: float) -> tuple[float, float]:
    """Return the extremes of a braking joint's path from its present position: lowest (<= 0) and highest (>= 0)."""
    by_velocity, by_acceleration = velocity * duration_s, acceleration * duration_s * duration_s
    turning = _share(-by_velocity, 2.0 * by_velocity + by_acceleration)
    positions = 0.0, _path(turning, by_velocity, by_acceleration), _path(1.0, by_velocity, by_acceleration)
    return min(positions), max(positions)


class JointMotion(NamedTuple):
    """Positions, velocities and accelerations of n joints at one time."""

    position: list[float]
    velocity: list[float]
    acceleration: list[float]

    @property
    def at_rest(self) -> bool:
        """Whether all velocities and accelerations are zero."""
        return not (any(self.velocity) or any(self.acceleration))

    def mixed(self, other: JointMotion, share: float) -> JointMotion:
        """Return a mixture with another motion, which has this share (0..1)."""
        pairs = zip(self, other, strict=True)
        return JointMotion(*([x + share * (y - x) for x, y in zip(*pair, strict=True)] for pair in pairs))


class Brake:
    """Braking of n joints from a motion in a time T; immutable."""

    def __init__(self, start: JointMotion, duration_s: float) -> None:
        """Brake from a motion within a time."""
        self.start = start
        self.duration_s = duration_s

    def at(self, time_s: float) -> JointMotion:
        """Return the motion at a time since the beginning."""
        duration_s = self.duration_s
        if time_s >= duration_s:
            still = [0.0] * len(self.start.position)
            return JointMotion(self.end, still, still)
        s = time_s / duration_s
        rest = 1.0 - s
        joints = list(zip(*self.start, strict=True))
        return JointMotion(
            [x + _path(s, v * duration_s, a * duration_s * duration_s) for x, v, a in joints],
            [rest * rest * ((1.0 + 2.0 * s) * v + s * duration_s * a) for _, v, a in joints],
            [rest * (-6.0 * s * (v / duration_s) + (1.0 - 3.0 * s) * a) for _, v, a in joints],
        )

    @property
    def end(self) -> list[float]:
        """Positions at which the joints come to rest."""
        duration_s = self.duration_s
        joints = zip(*self.start, strict=True)
        return [x + _path(1.0, v * duration_s, a * duration_s * duration_s) for x, v, a in joints]

    @property
    def reach(self) -> list[float]:
        """Bounds on the distances of the joints from where they begin."""
        by_velocity, by_acceleration = self.duration_s / 2.0, self.duration_s * self.duration_s / 12.0
        _, velocity, acceleration = self.start
        return [by_velocity * abs(v) + by_acceleration * abs(a) for v, a in zip(velocity, acceleration, strict=True)]


class Samples:
    """Sample brakes at S shares of their durations: one product of matrices for each brake."""

    def __init__(self, shares: Array, later_s: float) -> None:
        """Prepare shares `(S,)`, from 0 to 1, and for each a time a little later."""
        s = shares
        rest = 1.0 - s
        # Columns for the first position, v T, a T^2, v, and a T.
        matrix = np.zeros((2, len(shares), 5))
        matrix[:, :, 0] = 1.0
        matrix[:, :, 1] = _path(s, 1.0, 0.0)
        matrix[:, :, 2] = _path(s, 0.0, 1.0)
        matrix[1, :, 3] = later_s * rest * rest * (1.0 + 2.0 * s)
        matrix[1, :, 4] = later_s * rest * rest * s
        self._matrix = matrix.reshape(-1, 5)

    def of(self, brake: Brake) -> Array:
        """Return positions `(2 S, n)`: those at the shares, then those a little later at the velocity of the share."""
        start = np.array(brake.start)
        duration_s = brake.duration_s
        rows = np.concatenate((start, start[1:]))
        rows[1] *= duration_s
        rows[2] *= duration_s * duration_s
        rows[4] *= duration_s
        positions: Array = self._matrix @ rows
        return positions


def _path(s: _Share, by_velocity: float, by_acceleration: float) -> _Share:
    """Return how far a joint has moved, from v T and a T^2 of its beginning."""
    square = s * s
    by = s * (1.0 + square * (0.5 * s - 1.0)) * by_velocity
    return by + square * (0.5 + s * (0.25 * s - 2.0 / 3.0)) * by_acceleration


def _share(numerator: float, denominator: float) -> float:
    """Return the quotient where it is between 0 and 1, else 0."""
    quotient = numerator / denominator if denominator else 0.0
    return quotient if 0.0 < quotient < 1.0 else 0.0
