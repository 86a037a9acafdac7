# SPDX-License-Identifier: Apache-2.0
"""From a wanted end effector pose to joint angles that the arm may be sent to.

Rules are applied to every target, in this order: the pose is brought into the workspace box, the gripper above the
table, both within reach of the Cartesian speed limits, which shrink near singularities; its joint angles must exist,
lie within the joint limits and close to the last ones. Where no angles pass, the target stays where it was.

Joints do not follow targets exactly, so `StoppingPathCheck` checks the commands, too: the limits on the end effector
rest on that.
"""

from __future__ import annotations

import numpy as np

from arx_x5_driver.array import Array
from arx_x5_driver.geometry.kinematics import Kinematics
from arx_x5_driver.geometry.se3 import Pose
from arx_x5_driver.motion.joint_bounds import JointBounds
from arx_x5_driver.rules.cartesian import CartesianRules
from arx_x5_driver.rules.rules import (  # fmt: skip
    CARTESIAN_SPEED,
    GUARD,
    IK_FAILURE,
    IK_JUMP,
    JOINT_POSITION,
    JOINT_VELOCITY,
    SINGULARITY,
    TABLE,
    WORKSPACE,
    RuleBook,
)

_IK_OVERSHOOT_RAD = 0.05  # a solution up to this far beyond a joint limit is clipped; farther would be another pose
_FOLLOWED_SHARE = 0.8  # of the joint velocities: the filter behind needs the rest to catch up
_SHORTENINGS = 6  # of the path to the target, before it is given up for this period


class CartesianFilter:
    """Apply `CartesianRules` to targets, and keep the last one."""

    def __init__(self, rules: CartesianRules, joints: JointBounds, kinematics: Kinematics, book: RuleBook) -> None:
        """Apply rules and joint limits, and note broken rules in the book; call `reset` before the first target."""
        self._rules = rules
        self._bounds = joints
        self._kinematics = kinematics
        self._book = book
        self._pose = Pose(np.zeros(3), np.array((0.0, 0.0, 0.0, 1.0)))
        self._joints: Array = np.zeros_like(joints.position_min)
        self._held_back = False  # behind the target, because it was to go at a share of the speeds

    @property
    def pose(self) -> Pose:
        """The last allowed pose."""
        return self._pose

    def reset(self, joints: Array) -> None:
        """Start from the pose at these joint angles `(6,)`, or at the limits that they are slightly beyond."""
        self._joints = np.minimum(np.maximum(joints, self._bounds.position_min), self._bounds.position_max)
        self._pose = self._kinematics.forward(self._joints)
        self._held_back = False

    def joints_for(self, pose: Pose, dt_s: float, speed_share: float = 1.0) -> Array:
        """Return joint angles `(6,)` for the next `dt_s` on the path to the pose, at a share of the speeds.

        Near a singularity joints cannot follow the end effector at full speed: it then moves only as far as they can.
        """
        allowed = self._slowed(self._inside(pose), dt_s, speed_share)
        step_rad = _FOLLOWED_SHARE * self._bounds.velocity_max * dt_s
        for _ in range(_SHORTENINGS):
            joints = self._solved(allowed)
            if joints is None:
                break
            excess = float((np.abs(joints - self._joints) / step_rad).max())
            if excess <= 1.0:
                self._pose, self._joints = allowed, joints
                break
            self._book.act(JOINT_VELOCITY)
            allowed = self._pose.interpolate(allowed, 0.95 / excess)
        return self._joints

    def _solved(self, pose: Pose) -> Array | None:
        """Return joint angles `(6,)` of a pose, within limits and close to the last ones; None if there are none."""
        joints = self._kinematics.inverse(pose, self._joints)
        if joints is None:
            self._book.act(IK_FAILURE)
            return None
        clipped: Array = np.minimum(np.maximum(joints, self._bounds.position_min), self._bounds.position_max)
        overshoot_rad = float(np.abs(joints - clipped).max())
        if overshoot_rad > 0.0:
            self._book.act(JOINT_POSITION)
        if overshoot_rad > _IK_OVERSHOOT_RAD:
            return None
        if float(np.abs(clipped - self._joints).max()) > self._rules.ik_jump_rad:
            self._book.act(IK_JUMP)
            return None
        return clipped

    def _inside(self, pose: Pose) -> Pose:
        """Return the nearest pose in the workspace box, raised until the gripper clears the table."""
        rules = self._rules
        position = np.minimum(np.maximum(pose.position, rules.workspace_min), rules.workspace_max)
        if (position != pose.position).any():
            self._book.act(WORKSPACE)
        pose = Pose(position, pose.quaternion)
        missing_m = rules.floor_m - rules.lowest_m(pose)
        if missing_m > 0.0:
            position[2] += missing_m
            self._book.act(TABLE)
        return pose

    def _slowed(self, pose: Pose, dt_s: float, speed_share: float) -> Pose:
        """Return the pose as far towards the target as the share of the Cartesian speed limits allows in a period."""
        distance_m, turn_rad = self._pose.distance(pose)
        needed_s = max(distance_m / self._rules.speed_m_s, turn_rad / self._rules.speed_rad_s)
        share = self._rules.speed_share(self._kinematics.condition(self._joints))
        if needed_s <= dt_s * share * speed_share:
            self._held_back = False
            return pose
        # While the arm catches up after a share of the speeds, the guard counts instead of the speed limits: the target
        # itself was slow enough and breaks no rule.
        self._held_back |= needed_s <= dt_s * share
        if self._held_back:
            self._book.count(GUARD)
        else:
            self._book.act(CARTESIAN_SPEED if needed_s > dt_s else SINGULARITY)
        return self._pose.interpolate(pose, dt_s * share * speed_share / needed_s)
