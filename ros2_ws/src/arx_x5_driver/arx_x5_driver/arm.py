# SPDX-License-Identifier: Apache-2.0
"""The contract between the control loop and any arm below it.

An arm is any class with the four methods of `Arm` (a real X5, a simulated one, a loopback); nothing has to be
inherited. All calls come from one thread at the driver's rate, so each must return well within a control period.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from arx_x5_driver.array import Array

JOINT_COUNT = 6
"""Revolute joints of the arm; the gripper comes on top."""

SILENCE_S = 0.1
"""A moving arm in a process of its own is stopped once its last command is this old: the driver has ended or hangs."""


class ArmError(RuntimeError):
    """The arm cannot do what it was asked to do; the message is one line for the operator."""


@dataclass(frozen=True)
class ArmState:
    """A measurement of the arm.

    Attributes:
        stamp_s: time of the measurement, on the clock of `time.monotonic()`. If stamps stop advancing, the driver
            takes the feedback to be dead.
        position: joint angles `(6,)` [rad].
        velocity: joint velocities `(6,)` [rad/s].
        effort: joint torques `(6,)` [Nm].
        gripper_width: opening between the fingers [m].
        gripper_velocity: its rate [m/s].
        gripper_effort: torque of the gripper's motor [Nm].
    """

    stamp_s: float
    position: Array
    velocity: Array
    effort: Array
    gripper_width: float
    gripper_velocity: float
    gripper_effort: float


@dataclass(frozen=True)
class ArmCommand:
    """The position and motion that the arm is to have now.

    Attributes:
        position: joint angles `(6,)` [rad].
        velocity: joint velocities `(6,)` [rad/s].
        gripper_width: opening between the fingers [m].
        gripper_velocity: its rate [m/s].
        acceleration: joint accelerations `(6,)` [rad/s^2].
        gripper_acceleration: of the opening [m/s^2].
    """

    position: Array
    velocity: Array
    gripper_width: float
    gripper_velocity: float = 0.0
    acceleration: Array = field(default_factory=lambda: np.zeros(JOINT_COUNT))
    gripper_acceleration: float = 0.0

    @property
    def moves(self) -> bool:
        """Whether a joint or the gripper is to move."""
        return bool(self.velocity.any()) or self.gripper_velocity != 0.0


class Arm(Protocol):
    """An arm with six joints and a gripper."""

    def connect(self) -> None:
        """Make the arm ready to be read. It must not move, but may compensate gravity. Raises `ArmError`."""

    def read(self) -> ArmState:
        """Return the newest measurement without waiting for the next. Raises `ArmError`."""
        ...

    def command(self, command: ArmCommand) -> None:
        """Follow this command, and hold its position until the next one comes. Raises `ArmError`."""

    def close(self) -> None:
        """Release the arm as configured. May be called in any state, and twice."""
