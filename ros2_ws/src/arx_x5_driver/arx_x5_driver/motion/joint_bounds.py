# SPDX-License-Identifier: Apache-2.0
"""Limits of joints: of each by itself, and of what they do together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np

from arx_x5_driver.array import Array
from arx_x5_driver.motion.braking import braking_time_s, peak_velocity

_ROUNDING = 1e-9
_HALVINGS = 40
_SHORTEST_LEVER_M = 1e-6
_STOPS_TRIED = 24  # speeds and accelerations for which the longest stop is sought


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
        """Return the bounds of some of the joints."""
        return JointBounds(
            self.position_min[joints],
            self.position_max[joints],
            self.velocity_max[joints],
            self.acceleration_max[joints],
            self.jerk_max[joints],
        )

    def within(self, shared: SharedBounds) -> JointBounds:
        """Return bounds that also keep the shared bounds for a joint that moves alone."""
        levers_m = np.maximum(shared.levers_m, _SHORTEST_LEVER_M)
        return replace(
            self,
            acceleration_max=np.minimum(self.acceleration_max, shared.acceleration_max / levers_m),
            jerk_max=np.minimum(self.jerk_max, shared.jerk_max / levers_m),
        )

    def rows(self) -> list[tuple[float, float, float, float, float]]:
        """Return the limits of each joint, in the order of the attributes."""
        arrays = self.position_min, self.position_max, self.velocity_max, self.acceleration_max, self.jerk_max
        return list(zip(*(array.tolist() for array in arrays), strict=True))

    @cached_property
    def stopping_time_s(self) -> float:
        """Time in which the slowest joint stops from the worst motion within the limits."""
        shares = np.linspace(0.0, 1.0, _STOPS_TRIED).tolist()
        longest_s = 0.0
        for (_, _, velocity_max, acceleration_max, jerk_max), share, push in product(self.rows(), shares, shares):
            velocity, acceleration = share * velocity_max, push * acceleration_max
            time_s = braking_time_s(velocity, acceleration, acceleration_max, jerk_max)
            if peak_velocity(velocity, acceleration, time_s) <= velocity_max * (1.0 + _ROUNDING):
                longest_s = max(longest_s, time_s)
        return longest_s


@dataclass(frozen=True)
class SharedBounds:
    """Limits on n joints together: on the sum of the absolute values of their rates, each times its lever [m].

    With levers no shorter than the end effector's distances from the joints' axes, these sums bound what the joints'
    accelerations and jerks do to it.

    Attributes:
        levers_m: one for each joint.
        acceleration_max: of the sum of accelerations [m/s^2].
        jerk_max: of the sum of jerks [m/s^3].
        stopping_time_s: in which the joints must be able to rest, which limits the sum of their velocities.
    """

    levers_m: Sequence[float]
    acceleration_max: float
    jerk_max: float
    stopping_time_s: float

    def of(self, rates: Sequence[float]) -> float:
        """Return the sum for these rates of the joints."""
        return sum([lever_m * abs(rate) for lever_m, rate in zip(self.levers_m, rates, strict=True)])

    @cached_property
    def velocity_max(self) -> float:
        """Highest sum of velocities from which the joints can stop in time, whatever their acceleration."""
        low, high = 0.0, self.acceleration_max * self.stopping_time_s
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            time_s = braking_time_s(middle, self.acceleration_max, self.acceleration_max, self.jerk_max)
            low, high = (middle, high) if time_s <= self.stopping_time_s else (low, middle)
        return low
