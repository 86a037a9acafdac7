# SPDX-License-Identifier: Apache-2.0
"""The two drivers that are compared, on a clock that the run moves."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from arx_x5_driver.arm import ArmCommand, ArmState
from arx_x5_driver.chunk import Chunk
from arx_x5_driver.control.controller import Controller
from arx_x5_driver.geometry.kinematics import Kinematics
from arx_x5_driver.geometry.se3 import Pose


class Follower(Protocol):
    """A driver: takes chunks, and makes a command for each period."""

    def start(self, now_s: float, measured: ArmState) -> None:
        """Start where the arm is measured."""

    def offer(self, chunk: Chunk, now_s: float) -> None:
        """Take a chunk."""

    def tick(self, now_s: float, measured: ArmState) -> ArmCommand | None:
        """Return the command of this period, None for none."""


class ChunkDriver:
    """The driver of this repository, without its node."""

    def __init__(self, controller: Controller) -> None:
        """Drive with a controller that is not configured yet."""
        self._controller = controller

    def start(self, now_s: float, measured: ArmState) -> None:
        """See `Follower`."""
        self._controller.configure()
        self._controller.activate()
        self._controller.tick(now_s, measured)
        self._controller.enable(now_s)

    def offer(self, chunk: Chunk, now_s: float) -> None:
        """See `Follower`."""
        self._controller.offer(chunk, now_s)

    def tick(self, now_s: float, measured: ArmState) -> ArmCommand | None:
        """See `Follower`."""
        return self._controller.tick(now_s, measured)


class NaiveDriver:
    """Send the arm to the first step of each chunk as soon as it comes, and wait there for the next."""

    def __init__(self, kinematics: Kinematics) -> None:
        """Find joint angles with `kinematics`."""
        self._kinematics = kinematics
        self._command: ArmCommand | None = None

    def start(self, _now_s: float, measured: ArmState) -> None:
        """See `Follower`."""
        self._command = ArmCommand(measured.position, np.zeros(6), measured.gripper_width)

    def offer(self, chunk: Chunk, _now_s: float) -> None:
        """See `Follower`."""
        if self._command is None:
            return
        joints = self._kinematics.inverse(Pose(chunk.positions[0], chunk.quaternions[0]), self._command.position)
        if joints is not None:
            self._command = ArmCommand(joints, np.zeros(6), float(chunk.widths[0]))

    def tick(self, _now_s: float, _measured: ArmState) -> ArmCommand | None:
        """See `Follower`."""
        return self._command
