# SPDX-License-Identifier: Apache-2.0
"""The way to rest: how all joints brake together from any motion, within limits of acceleration and jerk.

With v and a the velocity and acceleration to begin with, T the time to rest and s = t / T, every joint follows

    velocity(s) = v (1 - s)^2 (1 + 2 s) + a T s (1 - s)^2,

the only cubic that fits v and a at its begin and is at rest, without acceleration, at its end. So what is left of a
brake after any time is the brake of what is left, which is what `tracker` rests on. Its jerk is greatest at an end,
its extremes have closed forms, and without a the joints stay on one straight line in joint space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def braking_times_s(velocity: Array, acceleration: Array, acceleration_max: Array, jerk_max: Array) -> Array:
    """The shortest times T `(..., n)` in which joints can brake within their limits; any longer one is as good.

    Args:
        velocity: to begin with `(..., n)`.
        acceleration: to begin with `(..., n)`, at most `acceleration_max`.
        acceleration_max: limits `(n,)`.
        jerk_max: limits `(n,)`.
    """
    speed = np.abs(velocity)
    along = np.where(velocity < 0.0, -acceleration, acceleration)  # acceleration in the direction of motion
    gaining, losing = np.maximum(along, 0.0), np.maximum(-along, 0.0)
    # With y = a / a_max the acceleration's peak is a_max where 1.5 v / (T a_max) = (1 - y + sqrt(1 + y)) / 2.
    share = gaining / acceleration_max
    by_acceleration = 3.0 * speed / (acceleration_max * (1.0 - share + np.sqrt(1.0 + share)))
    # |6 v + 4 a T| <= J T^2 at the begin and |6 v + 2 a T| <= J T^2 at the end; which one binds depends on the sign.
    six = 6.0 * jerk_max * speed
    gaining_s = 2.0 * gaining + np.sqrt(4.0 * gaining * gaining + six)
    losing_s = np.sqrt(losing * losing + six) - losing
    swinging = 4.0 * losing * losing - six  # it loses its speed before its deceleration, and comes back
    swinging_s = np.where(swinging > 0.0, 2.0 * losing + np.sqrt(np.maximum(swinging, 0.0)), 0.0)
    by_jerk = np.where(along > 0.0, gaining_s, np.maximum(losing_s, swinging_s)) / jerk_max
    times: Array = np.maximum(by_acceleration, by_jerk)
    return times


def peak_velocities(velocity: Array, change: Array) -> Array:
    """The velocities farthest from zero while braking, each array `(..., n)`.

    Args:
        velocity: to begin with.
        change: the acceleration to begin with times the duration.
    """
    s = _share(change, 6.0 * velocity + 3.0 * change)
    inside = (1.0 - s) ** 2 * ((1.0 + 2.0 * s) * velocity + s * change)
    return np.where(np.abs(inside) > np.abs(velocity), inside, velocity)


@dataclass(frozen=True)
class JointMotion:
    """Positions, velocities and accelerations of n joints at one time, each `(n,)`."""

    position: Array
    velocity: Array
    acceleration: Array

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves or is about to."""
        return not (self.velocity.any() or self.acceleration.any())

    def mixed(self, other: JointMotion, share: float) -> JointMotion:
        """The motion that is a share (0..1) of the way to another one."""
        return JointMotion(
            self.position + share * (other.position - self.position),
            self.velocity + share * (other.velocity - self.velocity),
            self.acceleration + share * (other.acceleration - self.acceleration),
        )


class Brake:
    """Braking from a motion in a time T; it must not be changed."""

    def __init__(self, start: JointMotion, duration_s: float) -> None:
        self.start = start
        self.duration_s = duration_s
        self._by_velocity: Array = start.velocity * duration_s
        self._by_acceleration: Array = start.acceleration * (duration_s * duration_s)

    def at(self, time_s: float) -> JointMotion:
        """The motion at a time since the begin."""
        if time_s >= self.duration_s:
            still = np.zeros_like(self.start.position)
            return JointMotion(self.end, still, still)
        v, a, duration_s = self.start.velocity, self.start.acceleration, self.duration_s
        s = time_s / duration_s
        rest = 1.0 - s
        acceleration = rest * (-6.0 * s * (v / duration_s) + (1.0 - 3.0 * s) * a)
        return JointMotion(self._position(s), self._velocity(s), acceleration)

    def positions(self, shares: Array) -> Array:
        """Positions `(S, n)` at shares `(S,)` of the duration."""
        return self._position(shares[:, np.newaxis])

    def velocities(self, shares: Array) -> Array:
        """Velocities `(S, n)` at shares `(S,)` of the duration."""
        return self._velocity(shares[:, np.newaxis])

    @property
    def end(self) -> Array:
        """Where the joints come to rest."""
        return self.start.position + self._by_velocity / 2.0 + self._by_acceleration / 12.0

    @property
    def reach(self) -> Array:
        """Bounds `(n,)` on how far joints get from where they are at the begin."""
        bounds: Array = np.abs(self._by_velocity) / 2.0 + np.abs(self._by_acceleration) / 12.0
        return bounds

    @property
    def peak_velocity(self) -> Array:
        """The velocities `(n,)` that are farthest from zero."""
        return peak_velocities(self.start.velocity, self.start.acceleration * self.duration_s)

    @property
    def turning_points(self) -> Array:
        """Where joints `(n,)` turn back on the way; those that do not give where they are at the begin."""
        return self._position(_share(-self._by_velocity, 2.0 * self._by_velocity + self._by_acceleration))

    def _position(self, s: Any) -> Array:
        square = s * s
        by_velocity = s * (1.0 + square * (0.5 * s - 1.0)) * self._by_velocity
        position: Array = self.start.position + by_velocity
        return position + square * (0.5 + s * (0.25 * s - 2.0 / 3.0)) * self._by_acceleration

    def _velocity(self, s: Any) -> Array:
        rest = 1.0 - s
        velocity: Array = rest * rest * (1.0 + 2.0 * s) * self.start.velocity
        return velocity + (rest * rest * s * self.duration_s) * self.start.acceleration


def _share(numerator: Array, denominator: Array) -> Array:
    """Their quotient where it is between 0 and 1, and 0 elsewhere."""
    quotient = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0.0)
    return np.where((quotient > 0.0) & (quotient < 1.0), quotient, 0.0)
