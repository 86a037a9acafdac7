# SPDX-License-Identifier: Apache-2.0
"""An arm without hardware or physics: it follows its commands with a lag."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from arx_x5_driver.arm import JOINT_COUNT, ArmCommand, ArmState
from arx_x5_driver.array import Array


class LoopbackArm:
    """Joints and gripper follow the commands as a first-order lag."""

    def __init__(
        self,
        position: Array | None = None,
        gripper_width: float = 0.0,
        lag_s: float = 0.02,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Stand still. Raises `ValueError` unless there are six joint angles.

        Args:
            position: joint angles to start at `(6,)` [rad]; default all zero, the arm's home.
            gripper_width: opening to start at [m].
            lag_s: time constant of the lag; 0 is a perfect echo.
            clock: the driver's clock.
        """
        start = np.zeros(JOINT_COUNT) if position is None else position
        if start.shape != (JOINT_COUNT,):
            raise ValueError(f"an arm has {JOINT_COUNT} joints, got angles {start.tolist()}")
        self._lag_s = lag_s
        self._clock = clock
        self._stamp_s = clock()
        self._position = np.append(start, gripper_width)
        self._velocity = np.zeros(JOINT_COUNT + 1)
        self._goal = self._position.copy()

    def connect(self) -> None:
        """Nothing to connect to."""

    def read(self) -> ArmState:
        """Return the present position of joints and gripper."""
        now_s = self._clock()
        elapsed_s = now_s - self._stamp_s
        if elapsed_s > 0.0:
            share = 1.0 - math.exp(-elapsed_s / self._lag_s) if self._lag_s > 0.0 else 1.0
            change = (self._goal - self._position) * share
            self._position = self._position + change
            self._velocity = change / elapsed_s
            self._stamp_s = now_s
        return ArmState(
            stamp_s=self._stamp_s,
            position=self._position[:JOINT_COUNT].copy(),
            velocity=self._velocity[:JOINT_COUNT].copy(),
            effort=np.zeros(JOINT_COUNT),
            gripper_width=float(self._position[JOINT_COUNT]),
            gripper_velocity=float(self._velocity[JOINT_COUNT]),
            gripper_effort=0.0,
        )

    def command(self, command: ArmCommand) -> None:
        """Follow this command from now on."""
        self.read()
        self._goal = np.append(command.position, command.gripper_width)

    def close(self) -> None:
        """Nothing to release."""
