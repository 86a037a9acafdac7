# SPDX-License-Identifier: Apache-2.0
"""The state of one simulated table with an arm. Many worlds can share one compiled model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from arx_x5_driver.array import Array
from arx_x5_sim.world.arm import (
    JOINT_KP,
    JOINT_KV,
    JOINT_MAX_RAD,
    JOINT_MIN_RAD,
    PEG_RADIUS_M,
    TOOL_PITCH_RAD,
)
from arx_x5_sim.world.kinematics import MujocoKinematics

TOOL_QUATERNION: Array = Rotation.from_euler("y", TOOL_PITCH_RAD).as_quat()
PEG_GRIP_WIDTH_M = 2 * PEG_RADIUS_M

HOME_GUESS_RAD = np.array([0.0, 0.92, 0.80, -0.96, 0.0, 0.0])
SETTLE_STEPS = 25


@dataclass(frozen=True)
class ArmReading:
    """What the arm's encoders would measure."""

    position: Array  # (6,) rad
    velocity: Array  # (6,) rad/s
    effort: Array  # (6,) Nm
    gripper_width: float  # m
    gripper_velocity: float  # m/s
    gripper_effort: float  # N


class World:
    """State of one table: the arm and the objects of a task. All poses are in the frame `base_link`.

    Attributes:
        seed: of the present layout; -1 before the first reset.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        """Make a world of `model` in its default state; call `reset` before use."""
        self.model = model
        self.data = mujoco.MjData(model)
        self.seed = -1
        self.kinematics = MujocoKinematics(model)
        mujoco.mj_forward(model, self.data)

    @property
    def time_s(self) -> float:
        """Simulated time since the reset."""
        return float(self.data.time)

    def reset(self, seed: int, place: Placement) -> None:
        """Start anew and let everything settle. Equal seeds give equal worlds.

        Args:
            seed: of the generator that `place` draws from.
            place: the task's; puts its objects where they start.

        Raises:
            RuntimeError: the arm cannot reach the start pose.
        """
        self.seed = seed
        mujoco.mj_resetData(self.model, self.data)
        start = place(self, np.random.default_rng(seed))
        joints, reached = self.kinematics.inverse(start, TOOL_QUATERNION, HOME_GUESS_RAD)
        if not reached:
            raise RuntimeError(f"the start pose {start} of seed {seed} is out of reach")
        self.data.qpos[:6] = joints
        self.data.qpos[6:8] = PEG_GRIP_WIDTH_M / 2
        self.set_joint_targets(joints, PEG_GRIP_WIDTH_M)
        self.step(SETTLE_STEPS)
        self.data.time = 0.0

    def set_joint_targets(self, position: Array, gripper_width: float, velocity: Array | None = None) -> None:
        """Set what the servos hold: joints (6,) [rad], the gripper's width [m], and a velocity (6,) [rad/s] to add."""
        self.data.ctrl[:6] = np.clip(position, JOINT_MIN_RAD, JOINT_MAX_RAD)
        if velocity is not None:
            self.data.ctrl[:6] += JOINT_KV / JOINT_KP * velocity
        self.data.ctrl[6:8] = 0.5 * gripper_width

    def step(self, physics_steps: int = 1) -> None:
        """Advance the physics by a number of timesteps."""
        mujoco.mj_step(self.model, self.data, nstep=physics_steps)

    def show(self, other: World) -> None:
        """Copy where everything is in `other`, ready to be rendered, but not how it moves."""
        self.seed = other.seed
        self.data.time = other.data.time
        self.data.qpos[:] = other.data.qpos
        self.data.mocap_pos[:] = other.data.mocap_pos
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def arm_reading(self) -> ArmReading:
        """Read joints and gripper."""
        data = self.data
        return ArmReading(
            position=data.qpos[:6].copy(),
            velocity=data.qvel[:6].copy(),
            effort=data.actuator_force[:6].copy(),
            gripper_width=float(data.qpos[6] + data.qpos[7]),
            gripper_velocity=float(data.qvel[6] + data.qvel[7]),
            gripper_effort=float(data.actuator_force[6]),
        )

    def eef_pose(self) -> tuple[Array, Array]:
        """Return the EEF's position (3,) and quaternion xyzw (4,)."""
        return self.kinematics.forward(self.data.qpos[:6])


Placement = Callable[[World, np.random.Generator], Array]
"""Puts the objects of a task into a world; returns where the end effector starts, (3,) in m."""
