# SPDX-License-Identifier: Apache-2.0
"""From a wanted end effector pose to joint angles that the arm may be sent towards.

Rules are applied to every target, in this order, and each has a counter: the pose is brought into the
workspace box, above the table and within reach of the Cartesian speed limits; its joint angles must exist,
lie within the joint limits and close to the last ones. Where no angles pass, the target stays where it was.

Joints do not follow targets exactly, so what is commanded is looked at once more by `StoppingPathCheck`: that is
what the limits on the end effector rest on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arx_x5_driver.chunk import REJECTIONS
from arx_x5_driver.kinematics import Kinematics
from arx_x5_driver.se3 import Pose
from arx_x5_driver.tracker import JointBounds, Saturation

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
STOPPING_PATH = "stopping_path"

CLIPS = (
    WORKSPACE, TABLE, CARTESIAN_SPEED, IK_FAILURE, IK_JUMP, JOINT_POSITION, GRIPPER_RANGE, JOINT_VELOCITY,
    JOINT_ACCELERATION, STOPPING_PATH,
)  # fmt: skip
"""Rules on targets: counted once in each control period in which they had to act."""

_IK_OVERSHOOT_RAD = 0.05  # a solution this little beyond a joint limit is moved to it; more would be another pose
_FOLLOWED_SHARE = 0.8  # of the joint velocities: the filter behind needs the rest to catch up
_SHORTENINGS = 6  # of the way to the target, before it is given up for this period
_CHECKED_EVERY_RAD = 0.025  # of the fastest joint's stopping path; the end effector strays below 1 mm in between
POSITION_TOLERANCE_M = 0.003
"""How far beyond the limits that targets keep the stopping path may lead: joints move on arcs, targets on lines."""
SPEED_TOLERANCE = 0.05
"""The same for its speed, as a share."""


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
        self._counts[STOPPING_PATH] += saturation.way

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

    @property
    def lowest(self) -> Array:
        """Lowest coordinates `(3,)` [m] that both the box and the table leave."""
        lowest = self.workspace_min.copy()
        lowest[2] = max(lowest[2], self.table_height_m + self.table_clearance_m)
        return lowest


class CartesianFilter:
    """Applies `CartesianRules`, and remembers where the target was brought last."""

    def __init__(
        self,
        rules: CartesianRules,
        joints: JointBounds,
        kinematics: Kinematics,
        counts: RuleCounts,
    ) -> None:
        self._rules = rules
        self._bounds = joints
        self._kinematics = kinematics
        self._counts = counts
        self._pose = Pose(np.zeros(3), np.array((0.0, 0.0, 0.0, 1.0)))
        self._joints: Array = np.zeros_like(joints.position_min)

    @property
    def pose(self) -> Pose:
        """The last pose that was let through."""
        return self._pose

    def reset(self, joints: Array) -> None:
        """Start from the pose at these joint angles `(6,)`, or at the limits that they are slightly beyond."""
        self._joints = np.minimum(np.maximum(joints, self._bounds.position_min), self._bounds.position_max)
        self._pose = self._kinematics.forward(self._joints)

    def joints_for(self, pose: Pose, dt_s: float) -> Array:
        """Joint angles `(6,)` to go to in the next `dt_s` in order to reach the pose.

        Near a singularity the joints could not keep up with the end effector: it then goes only as far as they can.
        """
        allowed = self._slowed(self._inside(pose), dt_s)
        step_rad = _FOLLOWED_SHARE * self._bounds.velocity_max * dt_s
        for attempt in range(_SHORTENINGS):
            joints = self._solved(allowed)
            if joints is None:
                break
            excess = float((np.abs(joints - self._joints) / step_rad).max())
            if excess <= 1.0:
                self._pose, self._joints = allowed, joints
                break
            if attempt == 0:
                self._counts.count(JOINT_VELOCITY)
            allowed = self._pose.interpolate(allowed, 0.95 / excess)
        return self._joints

    def _solved(self, pose: Pose) -> Array | None:
        """Joint angles `(6,)` of a pose, within their limits and on the branch of the last ones."""
        joints = self._kinematics.inverse(pose, self._joints)
        if joints is None:
            self._counts.count(IK_FAILURE)
            return None
        clipped: Array = np.minimum(np.maximum(joints, self._bounds.position_min), self._bounds.position_max)
        overshoot_rad = float(np.abs(joints - clipped).max())
        if overshoot_rad > 0.0:
            self._counts.count(JOINT_POSITION)
        if overshoot_rad > _IK_OVERSHOOT_RAD:
            return None
        if float(np.abs(clipped - self._joints).max()) > self._rules.ik_jump_rad:
            self._counts.count(IK_JUMP)
            return None
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


class StoppingPathCheck:
    """Whether the end effector stays inside its limits on the way of a step and of the braking after it.

    The way is a straight segment in joint space. It is walked in short pieces by forward kinematics; at each point the
    end effector must be inside, or no further outside than where the step begins, and on each piece no faster than
    allowed: while braking, a share s of the stopping path is left behind at sqrt(1 - s) of the speed.
    """

    def __init__(self, rules: CartesianRules, kinematics: Kinematics) -> None:
        self._low = rules.lowest - POSITION_TOLERANCE_M
        self._high = rules.workspace_max + POSITION_TOLERANCE_M
        self._speed_m_s = rules.speed_m_s * (1.0 + SPEED_TOLERANCE)
        self._speed_rad_s = rules.speed_rad_s * (1.0 + SPEED_TOLERANCE)
        self._kinematics = kinematics

    def __call__(self, position: Array, velocity: Array, dt_s: float, stop_s: float) -> bool:
        """See `tracker.WayCheck`."""
        pose = self._kinematics.forward(position)
        low, high = np.minimum(self._low, pose.position), np.maximum(self._high, pose.position)
        length_s = 0.5 * stop_s
        pieces = max(1, math.ceil(float(np.abs(velocity).max()) * length_s / _CHECKED_EVERY_RAD))
        piece_s, time_s, speed = dt_s, 0.0, 1.0
        for piece in range(pieces + 1):
            time_s += piece_s
            following = self._kinematics.forward(position + velocity * time_s)
            if ((following.position < low) | (following.position > high)).any():
                return False
            way_m, turn_rad = pose.distance(following)
            if way_m * speed > self._speed_m_s * piece_s or turn_rad * speed > self._speed_rad_s * piece_s:
                return False
            pose, piece_s, speed = following, length_s / pieces, math.sqrt(1.0 - piece / pieces)
        return True
