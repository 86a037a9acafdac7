# SPDX-License-Identifier: Apache-2.0
"""Limits on the end effector: the box, the table, its speeds, and what its joints may do to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arx_x5_driver.array import Array
from arx_x5_driver.chunk import Chunk
from arx_x5_driver.geometry.se3 import Pose
from arx_x5_driver.rules.rules import TABLE, WORKSPACE

_SLOWEST_SHARE = 0.1  # of the Cartesian speeds, at a singularity: with 0 the arm could not leave it


@dataclass(frozen=True)
class CartesianRules:
    """Limits on where the end effector is sent, and how fast.

    Attributes:
        workspace_min: lowest corner of the box `(3,)` [m] in the base frame.
        workspace_max: highest corner.
        table_height_m: height of the table's surface.
        table_clearance_m: least height of the keypoints above it.
        keypoints: points of the gripper `(K, 3)` [m] in the end effector's frame.
        self_distance_m: least distance between parts of the arm.
        speed_m_s: highest speed.
        speed_rad_s: highest rate of turn.
        acceleration_m_s2: highest acceleration, as the bound by those of the joints.
        jerk_m_s3: highest jerk, likewise.
        singularity_slow: condition number of the kinematics from which on both speeds shrink.
        singularity_slowest: condition number at which they have shrunk to a tenth.
        ik_jump_rad: largest change of a joint from one period's solution to the next.
    """

    workspace_min: Array
    workspace_max: Array
    table_height_m: float
    table_clearance_m: float
    keypoints: Array
    self_distance_m: float
    speed_m_s: float
    speed_rad_s: float
    acceleration_m_s2: float
    jerk_m_s3: float
    singularity_slow: float
    singularity_slowest: float
    ik_jump_rad: float

    def __post_init__(self) -> None:
        if not (self.workspace_min < self.workspace_max).all():
            raise ValueError(f"workspace_min {self.workspace_min} is not below {self.workspace_max}")
        if not self.singularity_slow < self.singularity_slowest:
            raise ValueError(f"singularity_slow {self.singularity_slow} is not below {self.singularity_slowest}")
        if not (self.keypoints.size and np.isfinite(self.keypoints).all()):
            raise ValueError(f"the gripper needs keypoints, all of them numbers, got {self.keypoints.tolist()}")
        if not self.floor_m < self.workspace_max[2]:
            raise ValueError(f"the table with its clearance, {self.floor_m:g} m, is not below {self.workspace_max}")

    @property
    def floor_m(self) -> float:
        """Height that no keypoint goes below."""
        return self.table_height_m + self.table_clearance_m

    def speed_share(self, condition: float) -> float:
        """Return the allowed share of the Cartesian speeds at a condition number."""
        excess = (condition - self.singularity_slow) / (self.singularity_slowest - self.singularity_slow)
        return 1.0 - (1.0 - _SLOWEST_SHARE) * min(max(excess, 0.0), 1.0)

    def lowest_m(self, pose: Pose) -> float:
        """Return the height of the pose's lowest keypoint."""
        x, y, z, w = pose.quaternion.tolist()
        upwards = np.array((2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)))
        return float(pose.position[2]) + float((self.keypoints @ upwards).min())

    def broken_by(self, chunk: Chunk) -> list[str]:
        """Return the rules on single poses that a valid chunk breaks."""
        inside = (chunk.positions >= self.workspace_min) & (chunk.positions <= self.workspace_max)
        broken = [] if inside.all() else [WORKSPACE]
        poses = (
            Pose(position, rotation) for position, rotation in zip(chunk.positions, chunk.quaternions, strict=True)
        )
        if any(self.lowest_m(pose) < self.floor_m for pose in poses):
            broken.append(TABLE)
        return broken
