# SPDX-License-Identifier: Apache-2.0
"""A driver on a desk: controller and loopback arm on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from arx_x5_driver.arm import ArmCommand, ArmState
from arx_x5_driver.arms.loopback import LoopbackArm
from arx_x5_driver.chunk import Chunk
from arx_x5_driver.controller import Controller
from arx_x5_driver.kinematics import Kinematics, SdkKinematics
from arx_x5_driver.parameters import DriverParameters
from arx_x5_driver.se3 import Pose, quaternion_from_rpy, rpy_from_quaternion

PERIOD_S = 0.005
START = np.array([0.0, 1.2, 1.3, 0.6, 0.0, 0.0])


class GantryKinematics:
    """An imaginary arm: three joints move the end effector, three turn it. Exact, invertible, fast."""

    ORIGIN = np.array([0.35, -0.18, 0.1])
    REACH_M = 0.5

    def forward(self, joints: np.ndarray) -> Pose:
        return Pose(self.ORIGIN + 0.15 * joints[:3], quaternion_from_rpy(*joints[3:]))

    def inverse(self, pose: Pose, seed: np.ndarray) -> np.ndarray | None:
        if np.linalg.norm(pose.position - self.ORIGIN) > self.REACH_M:
            return None
        return np.append((pose.position - self.ORIGIN) / 0.15, rpy_from_quaternion(pose.quaternion))


@dataclass
class Rig:
    """Controller, arm and time; `commands` holds (time, command) of every tick that sent one."""

    controller: Controller
    kinematics: Kinematics
    now_s: float = 100.0
    arm: LoopbackArm = field(init=False)
    commands: list[tuple[float, ArmCommand]] = field(default_factory=list)
    frozen: ArmState | None = None

    def __post_init__(self) -> None:
        self.arm = LoopbackArm(START, gripper_width=0.04, lag_s=0.02, clock=lambda: self.now_s)
        self.controller.configure()
        self.controller.activate()

    @property
    def pose(self) -> Pose:
        """Where the end effector is."""
        return self.kinematics.forward(self.arm.read().position)

    def run(self, duration_s: float, dt_s: float = PERIOD_S) -> None:
        """Let time pass."""
        end_s = self.now_s + duration_s
        while self.now_s < end_s - 1e-9:
            self.now_s += dt_s
            command = self.controller.tick(self.now_s, self.frozen or self.arm.read())
            if command is not None:
                self.commands.append((self.now_s, command))
                self.arm.command(command)

    def enable(self) -> None:
        self.run(2 * PERIOD_S)
        self.controller.enable()
        self.run(2 * PERIOD_S)

    def freeze_feedback(self) -> None:
        self.frozen = self.arm.read()

    def snapshot(self) -> Any:
        return self.controller.snapshot(self.now_s)


@pytest.fixture(scope="session")
def sdk_kinematics() -> SdkKinematics:
    pytest.importorskip("arx5_interface")
    return SdkKinematics("X5_umi")


@pytest.fixture(scope="session")
def make_rig() -> Callable[..., Rig]:
    """`make_rig(parameter=value, ...)`: a rig that is not enabled yet."""

    def make(kinematics: Kinematics | None = None, **parameters: Any) -> Rig:
        kinematics = kinematics or GantryKinematics()
        config = replace(DriverParameters(), **parameters).controller_config()
        return Rig(Controller(config, kinematics), kinematics)

    return make


@pytest.fixture(scope="session")
def make_chunk() -> Callable[..., Chunk]:
    """`make_chunk(now_s, pose)`: 16 steps of 0.1 s that end 4 cm beside the pose, seen 20 ms ago."""

    def make(now_s: float, pose: Pose | None = None, sequence: int = 1, **changes: Any) -> Chunk:
        pose = pose or GantryKinematics().forward(START)
        stamp_s = now_s - 0.02
        chunk = Chunk(
            sequence=sequence,
            frame="base_link",
            stamp_s=stamp_s,
            times_s=stamp_s + 0.1 * np.arange(1, 17),
            positions=pose.position + np.linspace(0.0, 0.04, 16)[:, np.newaxis] * [0.0, 1.0, 0.0],
            quaternions=np.tile(pose.quaternion, (16, 1)),
            widths=np.linspace(0.04, 0.06, 16),
        )
        return replace(chunk, **changes)

    return make
