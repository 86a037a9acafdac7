# SPDX-License-Identifier: Apache-2.0
"""Published commands, compared with the limits that they must keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from arx_x5_driver.array import Array

PAUSE_S = 0.09
"""After this long without a command the driver has started anew, at rest."""

_CLOCK_JUMP_S = 1.0
_ROUNDING = 1e-3  # of a limit: stamps are in nanoseconds of a clock that is compared with another
# What the driver's README allows between the points at which it checks a path.
_STRAY_M = 0.004
_TOOL_ROUNDING = 0.07


@dataclass(frozen=True)
class Command:
    """A message on `x5/joint_command`: joints and gripper, seven numbers each."""

    stamp_s: float
    position: Array
    velocity: Array
    acceleration: Array

    @property
    def moves(self) -> bool:
        """Tell whether any joint is commanded to move."""
        return bool(self.velocity.any())


@dataclass(frozen=True)
class Limits:
    """What no command may exceed.

    Attributes:
        position_min: of joints and gripper `(7,)`, as the next four.
        position_max: highest positions.
        velocity: highest speeds.
        acceleration: highest accelerations.
        jerk: highest jerks.
        box_min: lowest corner of the end effector's box `(3,)` [m].
        box_max: highest corner.
        floor_m: lowest height of the keypoints [m].
        keypoints: points of the gripper `(K, 3)` [m] in the end effector's frame.
        tool_m_s: highest speed of the end effector.
        tool_rad_s: its highest rate of turn.
    """

    position_min: Array
    position_max: Array
    velocity: Array
    acceleration: Array
    jerk: Array
    box_min: Array
    box_max: Array
    floor_m: float
    keypoints: Array
    tool_m_s: float
    tool_rad_s: float


@dataclass(frozen=True)
class Use:
    """How much of its limits a series of commands used: 1 is all of it, more is a violation.

    Attributes:
        velocity: of the limit of velocity.
        acceleration: of the limit of acceleration.
        jerk: of the limit of jerk.
        tool: of the end effector's limits of speed and rate of turn.
        beyond_rad: how far a joint (the gripper, in m) was commanded beyond its range, 0 if never.
        beyond_m: how far the end effector was commanded out of its box, or the gripper too low, 0 if never.
        backwards: commands with a stamp not later than the one before, without jumps of the clock itself.
        count: commands that were compared.
    """

    velocity: float = 0.0
    acceleration: float = 0.0
    jerk: float = 0.0
    tool: float = 0.0
    beyond_rad: float = 0.0
    beyond_m: float = 0.0
    backwards: int = 0
    count: int = 0

    @property
    def kept(self) -> bool:
        """Tell whether all limits were kept."""
        fast = max(self.velocity, self.acceleration, self.jerk) > 1.0 + _ROUNDING or self.tool > 1.0 + _TOOL_ROUNDING
        return not fast and self.beyond_rad <= 1e-9 and self.beyond_m <= _STRAY_M and not self.backwards


def use_of(
    commands: Sequence[Command], limits: Limits, tools: Callable[[Array], Array], shortest_s: float = 0.0
) -> Use:
    """Compare commands with limits.

    Args:
        commands: in the order in which they were published.
        limits: what to compare with.
        tools: poses of the end effector `(N, 4, 4)` at joint angles `(N, 6)`.
        shortest_s: shortest time between commands, for stamps of a clock that advances in larger steps.
    """
    if not commands:
        return Use()
    stamps = np.array([command.stamp_s for command in commands])
    positions = np.array([command.position for command in commands])
    velocities = np.array([command.velocity for command in commands])
    accelerations = np.array([command.acceleration for command in commands])
    poses = tools(positions[:, :6])
    elapsed = np.diff(stamps)
    same_run = (elapsed > 0.0) & (elapsed < PAUSE_S)
    apart = np.maximum(elapsed, shortest_s)[same_run, np.newaxis]

    def rates(values: Array) -> Array:
        changes: Array = np.diff(values.reshape(len(values), -1), axis=0)[same_run] / apart
        return np.abs(changes)

    speeds_m_s = np.linalg.norm(rates(poses[:, :3, 3]), axis=1)
    speeds_rad_s = np.linalg.norm(rates(poses[:, :3, :3]), axis=1) / np.sqrt(2.0)
    heights_m = (poses[:, 2, :3] @ limits.keypoints.T).min(axis=1) + poses[:, 2, 3]
    return Use(
        velocity=max(_largest(np.abs(velocities) / limits.velocity), _largest(rates(positions) / limits.velocity)),
        acceleration=max(
            _largest(np.abs(accelerations) / limits.acceleration), _largest(rates(velocities) / limits.acceleration)
        ),
        jerk=_largest(rates(accelerations) / limits.jerk),
        tool=max(_largest(speeds_m_s) / limits.tool_m_s, _largest(speeds_rad_s) / limits.tool_rad_s),
        beyond_rad=_beyond(positions, limits.position_min, limits.position_max),
        beyond_m=max(_beyond(poses[:, :3, 3], limits.box_min, limits.box_max), limits.floor_m - float(heights_m.min())),
        backwards=int(((elapsed <= 0.0) & (elapsed > -_CLOCK_JUMP_S)).sum()),
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
