# SPDX-License-Identifier: Apache-2.0
"""Published commands against the limits that they must keep, and what can be read from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PAUSE_S = 0.1
"""After this long without a command the driver has started anew, from where the arm was."""

_ROUNDING = 1e-3  # of a limit: stamps are in nanoseconds of a clock that is compared with another
_STRAY_M = 0.004  # what the driver's README grants between the points at which it looks at a way


@dataclass(frozen=True)
class Command:
    """A message on `x5/joint_command`: joints and gripper, seven numbers each."""

    stamp_s: float
    position: Array
    velocity: Array

    @property
    def moves(self) -> bool:
        """Whether any joint is commanded to move."""
        return bool(self.velocity.any())


@dataclass(frozen=True)
class Limits:
    """What no command may exceed; `(7,)` each, and a box for the end effector `(3,)` [m]."""

    position_min: Array
    position_max: Array
    velocity: Array
    acceleration: Array
    box_min: Array
    box_max: Array


@dataclass(frozen=True)
class Use:
    """How much of its limits a series of commands used: 1 is all of it, more is a violation.

    Attributes:
        velocity: of the limit of velocity.
        acceleration: of the limit of acceleration.
        beyond_rad: how far a joint (the gripper, in m) was commanded beyond its range, 0 if never.
        beyond_m: how far the end effector was commanded out of its box, 0 if never.
        count: commands looked at.
    """

    velocity: float
    acceleration: float
    beyond_rad: float
    beyond_m: float
    count: int

    @property
    def kept(self) -> bool:
        """Whether all limits were kept."""
        fast = max(self.velocity, self.acceleration) > 1.0 + _ROUNDING
        return not fast and self.beyond_rad <= 1e-9 and self.beyond_m <= _STRAY_M


def use_of(commands: Sequence[Command], limits: Limits, place: Callable[[Array], Array]) -> Use:
    """Compare commands with limits.

    Args:
        commands: in the order in which they were published.
        limits: what to compare with.
        place: where the end effector is `(3,)` [m] at joint angles `(6,)`.
    """
    if not commands:
        return Use(0.0, 0.0, 0.0, 0.0, 0)
    stamps = np.array([command.stamp_s for command in commands])
    positions = np.array([command.position for command in commands])
    velocities = np.array([command.velocity for command in commands])
    elapsed = np.diff(stamps)[:, np.newaxis]
    same_run = (elapsed[:, 0] > 0.0) & (elapsed[:, 0] < PAUSE_S)
    changes = np.abs(np.diff(velocities, axis=0))[same_run] / elapsed[same_run]
    ways = np.abs(np.diff(positions, axis=0))[same_run] / elapsed[same_run]
    places = np.array([place(joints) for joints in positions[:, :6]])
    return Use(
        velocity=max(_largest(np.abs(velocities) / limits.velocity), _largest(ways / limits.velocity)),
        acceleration=_largest(changes / limits.acceleration),
        beyond_rad=_beyond(positions, limits.position_min, limits.position_max),
        beyond_m=_beyond(places, limits.box_min, limits.box_max),
        count=len(commands),
    )


def rest_after(commands: Sequence[Command], since_s: float) -> float:
    """When the arm was first commanded to stand still after a time and was not moved any more since.

    Returns the stamp of the command after the last moving one, or of the last one if nothing followed; `since_s` if
    the arm stood still all the while.
    """
    rest_s = since_s
    for command, following in zip(commands, [*commands[1:], None], strict=True):
        if command.stamp_s >= since_s and command.moves:
            rest_s = following.stamp_s if following else command.stamp_s
    return rest_s


def _largest(values: Array) -> float:
    return float(values.max()) if values.size else 0.0


def _beyond(values: Array, low: Array, high: Array) -> float:
    return max(0.0, float(np.maximum(low - values, values - high).max()))
