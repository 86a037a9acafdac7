# SPDX-License-Identifier: Apache-2.0
"""Moves joints towards targets that may do anything, within limits that always hold.

A filter of third order follows the target; what it asks for then passes the limiter, which is the part that safety
rests on. It keeps with each motion the *brake* that leads from there to rest (see `brake`), within the limits of
acceleration and jerk. A step is taken only if its own brake was found good: in speed, in the joints' positions, and
by whoever looks at the way (`WayCheck`). If that fails, a step nearer to braking is tried, and in the end the brake
that was found good before is gone along. So the argument is by induction: the joints are on a way that was checked,
and going on along it is always possible. Each step is a mixture of the brake's and of a wanted one within the limits
of acceleration and jerk; both keep these, and so do their mixtures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from arx_x5_driver.brake import Brake, JointMotion, braking_times_s, peak_velocities

Array = NDArray[np.float64]

_ROUNDING = 1e-9  # a request this little over a limit is floating point, not a violation
_TOWARDS_BRAKING = (1.0, 0.75, 0.5, 0.25)  # shares of the wanted step that are tried, the rest being the brake
_STOPS_TRIED = 24  # speeds and accelerations for which the longest stop is sought

POSITION = "position"
VELOCITY = "velocity"

WayCheck = Callable[[Array, Brake, float], "str | None"]
"""Of the present position, the brake after a step, and dt: what forbids to go there and to rest, None if nothing."""


def _anywhere(_here: Array, _brake: Brake, _dt_s: float) -> None:
    return None


@dataclass(frozen=True)
class JointBounds:
    """Limits of n joints, each `(n,)`: positions [rad or m], and speeds, accelerations and jerks of these."""

    position_min: Array
    position_max: Array
    velocity_max: Array
    acceleration_max: Array
    jerk_max: Array

    def __post_init__(self) -> None:
        if not (self.position_min < self.position_max).all():
            raise ValueError(f"no room between {self.position_min} and {self.position_max}")
        if not all((limit > 0.0).all() for limit in (self.velocity_max, self.acceleration_max, self.jerk_max)):
            raise ValueError("limits of velocity, acceleration and jerk must be positive")

    def part(self, joints: slice) -> JointBounds:
        """The bounds of some of the joints."""
        return JointBounds(
            self.position_min[joints],
            self.position_max[joints],
            self.velocity_max[joints],
            self.acceleration_max[joints],
            self.jerk_max[joints],
        )

    @cached_property
    def stopping_time_s(self) -> float:
        """How long the slowest joint takes to rest from the worst motion within the limits."""
        shares = np.linspace(0.0, 1.0, _STOPS_TRIED)
        velocity = shares[:, np.newaxis, np.newaxis] * self.velocity_max
        acceleration = shares[:, np.newaxis] * self.acceleration_max
        velocity, acceleration = np.broadcast_arrays(velocity, acceleration)
        times_s = braking_times_s(velocity, acceleration, self.acceleration_max, self.jerk_max)
        peaks = peak_velocities(velocity, acceleration * times_s)
        return float(times_s[peaks <= self.velocity_max * (1.0 + _ROUNDING)].max())


@dataclass(frozen=True)
class Saturation:
    """Which limits a step would have broken if it had gone as fast as the target asks.

    Attributes:
        velocity: a joint's velocity.
        acceleration: a joint's acceleration.
        jerk: a joint's jerk.
        barred: what was wrong with the way that the step opens, so that it was made a slower one or a brake:
            `POSITION`, `VELOCITY`, or what the `WayCheck` says; None if nothing was.
    """

    velocity: bool
    acceleration: bool
    jerk: bool
    barred: str | None


class JointTracker:
    """The commanded motion of n joints, moved step by step."""

    def __init__(self, bounds: JointBounds, bandwidth_rad_s: float, may_go: WayCheck = _anywhere) -> None:
        """Stand at the nearest allowed position to zero; `reset` says where the joints really are.

        Args:
            bounds: what always holds.
            bandwidth_rad_s: of the filter; 2 / bandwidth is its delay.
            may_go: has a say in which steps are taken; it must let joints stand still.
        """
        self._bounds = bounds
        # Gains from error to velocity, acceleration, jerk: three equal poles at 1.5 times the bandwidth.
        self._gains = (0.5 * bandwidth_rad_s, 1.5 * bandwidth_rad_s, 4.5 * bandwidth_rad_s)
        self._may_go = may_go
        self.reset(np.clip(np.zeros_like(bounds.position_min), bounds.position_min, bounds.position_max))

    @property
    def motion(self) -> JointMotion:
        """What is commanded now."""
        return self._motion

    @property
    def delay_s(self) -> float:
        """How far the command lags behind a target that moves at constant speed."""
        return 1.0 / self._gains[0]

    @property
    def moving(self) -> bool:
        """Whether the joints are commanded to move."""
        return not self._motion.at_rest

    def reset(self, position: Array) -> None:
        """Stand still at a position `(n,)`. Where it is outside the bounds, joints may only move back in."""
        still = np.zeros_like(position, dtype=np.float64)
        self._motion = JointMotion(np.array(position, dtype=np.float64), still, still)
        self._brake, self._braking_s = Brake(self._motion, 0.0), 0.0

    def follow(self, target: Array, dt_s: float) -> Saturation:
        """Take one step of `dt_s` towards a finite target `(n,)`."""
        bounds, motion = self._bounds, self._motion
        by_error, by_velocity, by_acceleration = self._gains
        error = np.minimum(np.maximum(target, bounds.position_min), bounds.position_max) - motion.position
        # Proportional near the target; from afar, no faster than half of the next limit can bring to an end.
        way = np.abs(error)
        speed = np.minimum(by_error * way, np.sqrt(bounds.acceleration_max * way))
        excess = float((speed / bounds.velocity_max).max())
        lack = np.copysign(speed / max(excess, 1.0), error) - motion.velocity
        size = np.abs(lack)
        wanted = np.copysign(np.minimum(by_velocity * size, np.sqrt(bounds.jerk_max * size)), lack)
        limited = np.minimum(np.maximum(wanted, -bounds.acceleration_max), bounds.acceleration_max)
        change = min(by_acceleration * dt_s, 1.0) * (limited - motion.acceleration)
        change_max = bounds.jerk_max * dt_s
        barred = self._advance(np.minimum(np.maximum(change, -change_max), change_max), dt_s)
        return Saturation(
            velocity=excess > 1.0 + _ROUNDING,
            acceleration=bool((wanted != limited).any()),
            jerk=bool((np.abs(change) > change_max + _ROUNDING).any()),
            barred=barred,
        )

    def brake(self, dt_s: float) -> None:
        """Take one step of `dt_s` along the way to rest that was found good."""
        self._braking_s += dt_s
        self._motion = self._brake.at(self._braking_s)

    def _advance(self, change: Array, dt_s: float) -> str | None:
        """Take the step that is nearest to a wanted change of acceleration; what made it another one."""
        here = self._motion
        velocity = here.velocity + dt_s * (here.acceleration + 0.5 * change)
        position = here.position + dt_s * (here.velocity + dt_s * (0.5 * here.acceleration + change / 6.0))
        wanted = JointMotion(position, velocity, here.acceleration + change)
        braked = self._brake.at(self._braking_s + dt_s)
        reason = None
        for share in _TOWARDS_BRAKING:
            motion = wanted if share == 1.0 else braked.mixed(wanted, share)
            brake = self._brake_from(motion)
            problem = self._problem(brake, dt_s)
            if problem is None:
                self._motion, self._brake, self._braking_s = motion, brake, 0.0
                return reason
            reason = reason or problem
        self.brake(dt_s)
        return reason

    def _brake_from(self, motion: JointMotion) -> Brake:
        bounds = self._bounds
        times_s = braking_times_s(motion.velocity, motion.acceleration, bounds.acceleration_max, bounds.jerk_max)
        return Brake(motion, float(times_s.max()))

    def _problem(self, brake: Brake, dt_s: float) -> str | None:
        bounds, here, start = self._bounds, self._motion.position, brake.start
        # Bounds that are cheap and nearly always enough come first.
        speed = np.abs(start.velocity) + (4.0 / 27.0 * brake.duration_s) * np.abs(start.acceleration)
        if (speed > bounds.velocity_max).any() and (np.abs(brake.peak_velocity) > bounds.velocity_max).any():
            return VELOCITY
        if (np.abs(start.position - here) > bounds.velocity_max * dt_s).any():
            return VELOCITY
        reach = brake.reach
        if not self._inside(here, start.position - reach, start.position + reach):
            extremes = (start.position, brake.end, brake.turning_points)
            if not self._inside(here, np.minimum.reduce(extremes), np.maximum.reduce(extremes)):
                return POSITION
        return self._may_go(here, brake, dt_s)

    def _inside(self, here: Array, lowest: Array, highest: Array) -> bool:
        """Whether positions are within the bounds, or no further outside than the joints are now."""
        low, high = np.minimum(self._bounds.position_min, here), np.maximum(self._bounds.position_max, here)
        return bool(((lowest >= low) & (highest <= high)).all())
