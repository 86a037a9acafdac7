# SPDX-License-Identifier: Apache-2.0
"""Moves joints towards targets that may do anything, within limits that always hold.

A critically damped filter of second order follows the target; what it asks for then passes the limiter, which
is the part that safety rests on. All joints brake together: with q, v the commanded position and velocity and
T = max |v| / a_max, a brake of dt takes v to (1 - dt / T) v. It keeps every joint's acceleration limit and never
leaves the straight segment from q to q + v T / 2, the *stopping path*, whatever the periods are: after it what is
left is (1 - dt / T) v (T - dt) / 2, and (1 - dt / T) v (dt + (T - dt) / 2) = v (T^2 - dt^2) / (2 T).

A step is taken only if its own stopping path was found good: its end within the joints' positions, and all of it
by whoever looks at the way (`WayCheck`). If that fails, a step nearer to braking is tried, and in the end the brake
itself, which stays on the path found good before. So the argument is by induction: the joints stand on a path that
was checked, and braking does not leave it. Each step is a mixture of the brake and of the wanted change scaled to
the acceleration limits by one factor; both keep limits of velocity and acceleration, and so do their mixtures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROUNDING = 1e-9  # a request this little over a limit is floating point, not a violation
_TOWARDS_BRAKING = (1.0, 0.75, 0.5, 0.25)  # shares of the wanted step that are tried, the rest being the brake

WayCheck = Callable[[Array, Array, float, float], bool]
"""Of position, velocity, dt and stopping time T after it: may the joints go there, and on to rest from there?"""


def _anywhere(_position: Array, _velocity: Array, _dt_s: float, _stop_s: float) -> bool:
    return True


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

    def part(self, joints: slice) -> JointBounds:
        """The bounds of some of the joints."""
        return JointBounds(
            self.position_min[joints],
            self.position_max[joints],
            self.velocity_max[joints],
            self.acceleration_max[joints],
        )

    @property
    def stopping_time_s(self) -> float:
        """How long the slowest joint takes from full speed to rest."""
        return float((self.velocity_max / self.acceleration_max).max())


@dataclass(frozen=True)
class Saturation:
    """Which limits a step would have broken if it had gone as fast as the target asks.

    Attributes:
        velocity: a joint's velocity.
        acceleration: a joint's acceleration.
        way: a limit on the way that the step opens, so that the joints were slowed or braked.
    """

    velocity: bool
    acceleration: bool
    way: bool


class JointTracker:
    """Commanded positions and velocities of n joints, moved step by step."""

    def __init__(self, bounds: JointBounds, bandwidth_rad_s: float, may_go: WayCheck = _anywhere) -> None:
        """Stand at the nearest allowed position to zero; `reset` says where the joints really are.

        Args:
            bounds: what always holds.
            bandwidth_rad_s: the filter's natural frequency; 2 / bandwidth is its delay.
            may_go: has a say in which steps are taken; it must let joints stand still.
        """
        self._bounds = bounds
        self._bandwidth = bandwidth_rad_s
        self._may_go = may_go
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
        excess = float((speed / bounds.velocity_max).max())
        wanted = np.copysign(speed / max(excess, 1.0), error)
        # In a long step no further than to the wanted velocity: that and the present one keep the velocity limits.
        change = min(2.0 * self._bandwidth * dt_s, 1.0) * (wanted - self.velocity)
        barred = self._advance(change, dt_s)
        return Saturation(
            velocity=excess > 1.0 + _ROUNDING,
            acceleration=bool((np.abs(change) > (bounds.acceleration_max + _ROUNDING) * dt_s).any()),
            way=barred,
        )

    def brake(self, dt_s: float) -> None:
        """Take one step of `dt_s` along the stopping path."""
        self._move(self._braked(dt_s), dt_s)

    def _advance(self, change: Array, dt_s: float) -> bool:
        """Take the step that is nearest to a wanted change of velocity; whether its way made it another one."""
        excess = float((np.abs(change) / self._bounds.acceleration_max).max())
        wanted = self.velocity + change * (min(1.0, dt_s / excess) if excess > 0.0 else 1.0)
        braked = self._braked(dt_s)
        for share in _TOWARDS_BRAKING:
            velocity = braked + share * (wanted - braked)
            if self._way_is_good(velocity, dt_s):
                self._move(velocity, dt_s)
                return share < 1.0
        self._move(braked, dt_s)
        return True

    def _way_is_good(self, velocity: Array, dt_s: float) -> bool:
        stop_s = self._stopping_time_s(velocity)
        bounds, here = self._bounds, self.position
        end = here + velocity * (dt_s + 0.5 * stop_s)
        low, high = np.minimum(bounds.position_min, here), np.maximum(bounds.position_max, here)
        return bool(((end >= low) & (end <= high)).all()) and self._may_go(here, velocity, dt_s, stop_s)

    def _stopping_time_s(self, velocity: Array) -> float:
        return float((np.abs(velocity) / self._bounds.acceleration_max).max())

    def _braked(self, dt_s: float) -> Array:
        stop_s = self._stopping_time_s(self.velocity)
        if stop_s <= dt_s:
            return np.zeros_like(self.velocity)
        return self.velocity * (1.0 - dt_s / stop_s)

    def _move(self, velocity: Array, dt_s: float) -> None:
        self.velocity = velocity
        self.position = self.position + velocity * dt_s
