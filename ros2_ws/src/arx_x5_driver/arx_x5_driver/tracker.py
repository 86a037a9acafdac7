# SPDX-License-Identifier: Apache-2.0
"""Moves joints towards targets that may do anything, within limits that always hold.

A critically damped filter of second order follows the target; what it asks for then passes the limiter, which
is the part that safety rests on. With q, v the commanded position and velocity, each step of length dt keeps

    |v'| <= v_max,   |v' - v| <= a_max dt,   q' = q + v' dt,   v'^2 / (2 a_max) <= way left from q'.

The last says that the joint can still stop before its position limit. It frees the limits of conflict, since
braking keeps it true whatever the next dt is: v'' = v' - a_max dt gives v'' dt + v''^2 / (2 a_max) <=
v'^2 / (2 a_max). Solved for the velocity it is `_reachable_velocity`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROUNDING = 1e-9  # a request this little over a limit is floating point, not a violation


@dataclass(frozen=True)
class JointBounds:
    """Limits of n joints, each `(n,)`: positions [rad or m], speeds [per s], accelerations [per s^2]."""

    position_min: Array
    position_max: Array
    velocity_max: Array
    acceleration_max: Array

    def __post_init__(self) -> None:
        if not (self.position_min < self.position_max).all():
            raise ValueError(f"no room between {self.position_min} and {self.position_max}")
        if not ((self.velocity_max > 0.0).all() and (self.acceleration_max > 0.0).all()):
            raise ValueError("velocity and acceleration limits must be positive")

    @property
    def stopping_time_s(self) -> float:
        """How long the slowest joint takes from full speed to rest."""
        return float((self.velocity_max / self.acceleration_max).max())


@dataclass(frozen=True)
class Saturation:
    """Which limits a step would have broken if it had gone as fast as the target asks."""

    velocity: bool
    acceleration: bool


class JointTracker:
    """Commanded positions and velocities of n joints, moved step by step."""

    def __init__(self, bounds: JointBounds, bandwidth_rad_s: float) -> None:
        """Stand at the nearest allowed position to zero; `reset` says where the joints really are.

        Args:
            bounds: what always holds.
            bandwidth_rad_s: the filter's natural frequency; 2 / bandwidth is its delay.
        """
        self._bounds = bounds
        self._bandwidth = bandwidth_rad_s
        self.velocity: Array = np.zeros_like(bounds.position_min)
        self.position: Array = np.clip(self.velocity, bounds.position_min, bounds.position_max)

    @property
    def delay_s(self) -> float:
        """How far the command lags behind a target that moves at constant speed."""
        return 2.0 / self._bandwidth

    @property
    def moving(self) -> bool:
        """Whether the joints are commanded to move."""
        return bool(self.velocity.any())

    def reset(self, position: Array) -> None:
        """Stand still at a position `(n,)`. Where it is outside the bounds, joints may only move back in."""
        self.position = np.array(position, dtype=np.float64)
        self.velocity = np.zeros_like(self.position)

    def follow(self, target: Array, dt_s: float) -> Saturation:
        """Take one step of `dt_s` towards a finite target `(n,)`."""
        bounds = self._bounds
        allowed = np.minimum(np.maximum(target, bounds.position_min), bounds.position_max)
        error = allowed - self.position
        # Critically damped near the target; from afar, no faster than half the acceleration can brake.
        way = np.abs(error)
        speed = np.minimum(0.5 * self._bandwidth * way, np.sqrt(bounds.acceleration_max * way))
        too_fast = speed > bounds.velocity_max + _ROUNDING
        wanted = np.copysign(np.minimum(speed, bounds.velocity_max), error)
        acceleration = 2.0 * self._bandwidth * (wanted - self.velocity)
        self._advance(self.velocity + acceleration * dt_s, dt_s)
        return Saturation(
            velocity=bool(too_fast.any()),
            acceleration=bool((np.abs(acceleration) > bounds.acceleration_max + _ROUNDING).any()),
        )

    def brake(self, dt_s: float) -> None:
        """Take one step of `dt_s` towards rest, as fast as the limits allow."""
        self._advance(np.zeros_like(self.velocity), dt_s)

    def _advance(self, wanted: Array, dt_s: float) -> None:
        """Take one step at the allowed velocity that is nearest to the wanted one."""
        bounds = self._bounds
        change = bounds.acceleration_max * dt_s
        up = self._reachable_velocity(bounds.position_max - self.position, dt_s)
        down = self._reachable_velocity(self.position - bounds.position_min, dt_s)
        velocity = np.minimum(np.maximum(wanted, -down), up)
        self.velocity = np.minimum(np.maximum(velocity, self.velocity - change), self.velocity + change)
        self.position = self.position + self.velocity * dt_s

    def _reachable_velocity(self, way_left: Array, dt_s: float) -> Array:
        """The highest speed in a step of `dt_s` after which a joint can still stop in the way left."""
        a_max = self._bounds.acceleration_max
        speed = a_max * (np.sqrt(dt_s * dt_s + 2.0 * np.maximum(way_left, 0.0) / a_max) - dt_s)
        return np.minimum(speed, self._bounds.velocity_max)
