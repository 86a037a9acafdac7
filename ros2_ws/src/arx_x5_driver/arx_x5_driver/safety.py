# SPDX-License-Identifier: Apache-2.0
"""From a wanted end effector pose to joint angles that the arm may be sent towards.

Rules are applied to every target, in this order, and each has a counter: the pose is brought into the
workspace box, above the table and within reach of the Cartesian speed limits; its joint angles must exist,
lie within the joint limits and close to the present ones. Where no angles pass, there is no target and the
arm brakes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arx_x5_driver.chunk import REJECTIONS
from arx_x5_driver.kinematics import Kinematics
from arx_x5_driver.se3 import Pose
from arx_x5_driver.tracker import Saturation

Array = NDArray[np.float64]

WORKSPACE = "workspace"
TABLE = "table"
CARTESIAN_SPEED = "cartesian_speed"
IK_FAILURE = "ik_failure"
IK_JUMP = "ik_jump"
JOINT_POSITION = "joint_position"
GRIPPER_RANGE = "gripper_range"
JOINT_VELOCITY = "joint_velocity"
JOINT_ACCELERATION = "joint_acceleration"

CLIPS = (
    WORKSPACE, TABLE, CARTESIAN_SPEED, IK_FAILURE, IK_JUMP, JOINT_POSITION, GRIPPER_RANGE, JOINT_VELOCITY,
    JOINT_ACCELERATION,
)  # fmt: skip
"""Rules on targets: counted once in each control period in which they had to act."""

_IK_OVERSHOOT_RAD = 0.05  # a solution this little beyond a joint limit is moved to it; more would be another pose


class RuleCounts:
    """How often each rule acted: `REJECTIONS` in chunks, `CLIPS` in control periods."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys((*REJECTIONS, *CLIPS), 0)

    def count(self, rule: str) -> None:
        """The rule acted once more."""
        self._counts[rule] += 1

    def count_saturation(self, saturation: Saturation) -> None:
        """Count what the joint limits did to a step."""
        self._counts[JOINT_VELOCITY] += saturation.velocity
        self._counts[JOINT_ACCELERATION] += saturation.acceleration

    def as_dict(self) -> dict[str, int]:
        """Count by rule; always the same rules in the same order."""
        return dict(self._counts)


@dataclass(frozen=True)
class CartesianRules:
    """Limits on where the end effector is sent.

    Attributes:
        workspace_min: lowest corner of the box `(3,)` [m] in the base frame.
        workspace_max: highest corner.
        table_height_m: height of the table's surface.
        table_clearance_m: how far above it the end effector stays.
        speed_m_s: highest speed.
        speed_rad_s: highest rate of turn.
        ik_jump_rad: largest change of a joint from one period's solution to the next.
    """

    workspace_min: Array
    workspace_max: Array
    table_height_m: float
    table_clearance_m: float
    speed_m_s: float
    speed_rad_s: float
    ik_jump_rad: float

    def __post_init__(self) -> None:
        if not (self.workspace_min < self.workspace_max).all():
            raise ValueError(f"workspace_min {self.workspace_min} is not below {self.workspace_max}")


class CartesianFilter:
    """Applies `CartesianRules`, and remembers where the target was brought last."""

    def __init__(
        self,
        rules: CartesianRules,
        position_min: Array,
        position_max: Array,
        kinematics: Kinematics,
        counts: RuleCounts,
    ) -> None:
        self._rules = rules
        self._position_min = position_min
        self._position_max = position_max
        self._kinematics = kinematics
        self._counts = counts
        self._pose = Pose(np.zeros(3), np.array((0.0, 0.0, 0.0, 1.0)))
        self._joints: Array = np.zeros_like(position_min)

    @property
    def pose(self) -> Pose:
        """The last pose that was let through."""
        return self._pose

    def reset(self, joints: Array) -> None:
        """Start from the pose at these joint angles `(6,)`."""
        self._joints = joints.copy()
        self._pose = self._kinematics.forward(joints)

    def joints_for(self, pose: Pose, dt_s: float) -> Array | None:
        """Joint angles `(6,)` to go to in the next `dt_s` in order to reach the pose; None: brake."""
        allowed = self._slowed(self._inside(pose), dt_s)
        joints = self._kinematics.inverse(allowed, self._joints)
        if joints is None:
            self._counts.count(IK_FAILURE)
            return None
        clipped: Array = np.minimum(np.maximum(joints, self._position_min), self._position_max)
        overshoot_rad = float(np.abs(joints - clipped).max())
        if overshoot_rad > 0.0:
            self._counts.count(JOINT_POSITION)
        if overshoot_rad > _IK_OVERSHOOT_RAD:
            return None
        if float(np.abs(clipped - self._joints).max()) > self._rules.ik_jump_rad:
            self._counts.count(IK_JUMP)
            return None
        self._pose, self._joints = allowed, clipped
        return clipped

    def _inside(self, pose: Pose) -> Pose:
        """The nearest pose in the workspace box and above the table."""
        rules = self._rules
        position = np.minimum(np.maximum(pose.position, rules.workspace_min), rules.workspace_max)
        if (position != pose.position).any():
            self._counts.count(WORKSPACE)
        lowest_m = rules.table_height_m + rules.table_clearance_m
        if position[2] < lowest_m:
            position[2] = lowest_m
            self._counts.count(TABLE)
        return Pose(position, pose.quaternion)

    def _slowed(self, pose: Pose, dt_s: float) -> Pose:
        """As far towards the pose as the Cartesian speed limits allow in one period."""
        way_m, turn_rad = self._pose.distance(pose)
        needed = max(way_m / self._rules.speed_m_s, turn_rad / self._rules.speed_rad_s)
        if needed <= dt_s:
            return pose
        self._counts.count(CARTESIAN_SPEED)
        return self._pose.interpolate(pose, dt_s / needed)
