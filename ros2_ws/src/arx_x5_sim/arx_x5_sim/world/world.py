# SPDX-License-Identifier: Apache-2.0
"""One simulated table with an arm. Many worlds can share one compiled model."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from arx_x5_sim.world.arm import (
    EEF_HEIGHT_M,
    EEF_SITE,
    JOINT_KP,
    JOINT_KV,
    JOINT_MAX_RAD,
    JOINT_MIN_RAD,
    PEG_RADIUS_M,
    TOOL_PITCH_RAD,
)
from arx_x5_sim.world.kinematics import Kinematics
from arx_x5_sim.world.scene import BLOCK_HALF_M, BLOCK_NAMES, SQUARE_NAMES, SQUARE_THICKNESS_M

Array = NDArray[np.float64]

SUCCESS_RADIUS_M = 0.04
TOOL_QUATERNION: Array = Rotation.from_euler("y", TOOL_PITCH_RAD).as_quat()
PEG_GRIP_WIDTH_M = 2 * PEG_RADIUS_M

BLOCK_X_M = (0.32, 0.38)
SQUARE_X_M = (0.46, 0.51)
OBJECT_Y_M = (-0.15, 0.15)
OBJECT_GAP_Y_M = 0.11  # between the two blocks, and between the two squares
PUSH_MIN_M = 0.13  # from any block to any square; closer ones are solved by chance too often
BLOCK_YAW_RAD = (-np.pi / 4, np.pi / 4)
EEF_START_X_M = (0.25, 0.27)
EEF_START_Y_M = (-0.04, 0.04)
HOME_GUESS_RAD = np.array([0.0, 0.92, 0.80, -0.96, 0.0, 0.0])
SETTLE_STEPS = 25


@dataclass(frozen=True)
class ArmReading:
    """What the arm's encoders would say."""

    position: Array  # (6,) rad
    velocity: Array  # (6,) rad/s
    effort: Array  # (6,) Nm
    gripper_width: float  # m
    gripper_velocity: float  # m/s
    gripper_effort: float  # N


class World:
    """State of one table: arm, blocks and squares. All poses are in the frame `base_link`."""

    def __init__(self, model: mujoco.MjModel) -> None:
        """Makes a world of `model` in its default state; call `reset` before use."""
        self.model = model
        self.data = mujoco.MjData(model)
        self.seed = -1
        self.kinematics = Kinematics(model)
        self._eef = model.site(EEF_SITE).id
        self._block_qpos = [int(model.joint(name).qposadr[0]) for name in BLOCK_NAMES]
        self._block_dof = [int(model.joint(name).dofadr[0]) for name in BLOCK_NAMES]
        self._mocap = [int(model.body(name).mocapid[0]) for name in SQUARE_NAMES]
        mujoco.mj_forward(model, self.data)

    @property
    def time_s(self) -> float:
        """Simulated time since the reset."""
        return float(self.data.time)

    def reset(self, seed: int) -> None:
        """Puts everything where `seed` says and lets it settle. Equal seeds give equal worlds."""
        rng = np.random.default_rng(seed)
        self.seed = seed
        mujoco.mj_resetData(self.model, self.data)
        blocks, squares = _draw_layout(rng)
        for i, block in enumerate(blocks):
            self.set_block(i, np.array([*block, rng.uniform(*BLOCK_YAW_RAD)]))
        for i, square in enumerate(squares):
            self.set_square(i, square)
        start = np.array([rng.uniform(*EEF_START_X_M), rng.uniform(*EEF_START_Y_M), EEF_HEIGHT_M])
        joints, reached = self.kinematics.inverse(start, TOOL_QUATERNION, HOME_GUESS_RAD)
        if not reached:
            raise RuntimeError(f"the start pose {start} of seed {seed} is out of reach")
        self.data.qpos[:6] = joints
        self.data.qpos[6:8] = PEG_GRIP_WIDTH_M / 2
        self.set_joint_targets(joints, PEG_GRIP_WIDTH_M)
        self.step(SETTLE_STEPS)
        self.data.time = 0.0

    def set_joint_targets(self, position: Array, gripper_width: float, velocity: Array | None = None) -> None:
        """Sets what the joint servos hold: positions (6,), and a velocity (6,) as feed-forward."""
        self.data.ctrl[:6] = np.clip(position, JOINT_MIN_RAD, JOINT_MAX_RAD)
        if velocity is not None:
            self.data.ctrl[:6] += JOINT_KV / JOINT_KP * velocity
        self.data.ctrl[6:8] = 0.5 * gripper_width

    def step(self, physics_steps: int = 1) -> None:
        """Advances the physics by a number of timesteps."""
        mujoco.mj_step(self.model, self.data, nstep=physics_steps)

    def show(self, other: World) -> None:
        """Takes over where everything is in `other`, ready to be rendered, but not how it moves."""
        self.seed = other.seed
        self.data.time = other.data.time
        self.data.qpos[:] = other.data.qpos
        self.data.mocap_pos[:] = other.data.mocap_pos
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def arm_reading(self) -> ArmReading:
        """Reads joints and gripper."""
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
        """Returns the EEF's position (3,) and quaternion xyzw (4,)."""
        return self.kinematics.forward(self.data.qpos[:6])

    def block_poses(self) -> Array:
        """Returns x, y and yaw of each block, (2, 3), in m and rad."""
        poses = np.zeros((len(BLOCK_NAMES), 3))
        for i, qpos in enumerate(self._block_qpos):
            w, x, y, z = self.data.qpos[qpos + 3 : qpos + 7]
            yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
            poses[i] = (self.data.qpos[qpos], self.data.qpos[qpos + 1], yaw)
        return poses

    def square_positions(self) -> Array:
        """Returns x and y of each square's centre, (2, 2)."""
        return np.array(self.data.mocap_pos[self._mocap, :2])

    def set_block(self, index: int, pose: Array) -> None:
        """Puts a block at x, y, yaw (3,), at rest on the table."""
        qpos, dof = self._block_qpos[index], self._block_dof[index]
        half_yaw = pose[2] / 2
        self.data.qpos[qpos : qpos + 3] = (pose[0], pose[1], BLOCK_HALF_M)
        self.data.qpos[qpos + 3 : qpos + 7] = (np.cos(half_yaw), 0.0, 0.0, np.sin(half_yaw))
        self.data.qvel[dof : dof + 6] = 0.0

    def set_square(self, index: int, position: Array) -> None:
        """Puts a square's centre at x, y (2,)."""
        self.data.mocap_pos[self._mocap[index]] = (position[0], position[1], SQUARE_THICKNESS_M / 2)

    def pair_distances_m(self) -> Array:
        """Returns the distance of each block's centre from each square's, (blocks, squares)."""
        offsets = self.block_poses()[:, None, :2] - self.square_positions()[None, :, :]
        return np.asarray(np.linalg.norm(offsets, axis=-1))

    def pair_solved(self, block: int, square: int) -> bool:
        """Says whether this very block lies on this very square."""
        return bool(self.pair_distances_m()[block, square] < SUCCESS_RADIUS_M)

    def solved(self) -> bool:
        """Says whether any block lies on any square."""
        return bool((self.pair_distances_m() < SUCCESS_RADIUS_M).any())


def _draw_layout(rng: np.random.Generator) -> tuple[Array, Array]:
    """Draws positions of the blocks (2, 2) and squares (2, 2) with gaps between them."""
    while True:
        blocks = np.column_stack([rng.uniform(*BLOCK_X_M, size=2), rng.uniform(*OBJECT_Y_M, size=2)])
        squares = np.column_stack([rng.uniform(*SQUARE_X_M, size=2), rng.uniform(*OBJECT_Y_M, size=2)])
        gaps_y = np.abs([blocks[0, 1] - blocks[1, 1], squares[0, 1] - squares[1, 1]])
        pushes = np.linalg.norm(blocks[:, None] - squares[None], axis=-1)
        if gaps_y.min() > OBJECT_GAP_Y_M and pushes.min() > PUSH_MIN_M:
            return blocks, squares
