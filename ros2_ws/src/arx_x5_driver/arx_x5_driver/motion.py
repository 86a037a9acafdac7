# SPDX-License-Identifier: Apache-2.0
"""The commanded motion: schedule of targets -> Cartesian rules -> inverse kinematics -> joint limits.

Every command that the driver sends is made here, by `JointTracker` with `StoppingPathCheck`, so that the limits
of both hold whatever is done above.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arx_x5_driver.arm import JOINT_COUNT, ArmCommand
from arx_x5_driver.chunk import Chunk
from arx_x5_driver.kinematics import Kinematics
from arx_x5_driver.limits import ArmLimits
from arx_x5_driver.safety import GRIPPER_RANGE, CartesianFilter, CartesianRules, RuleCounts, StoppingPathCheck
from arx_x5_driver.schedule import Schedule, Target
from arx_x5_driver.tracker import JointBounds, JointTracker

Array = NDArray[np.float64]

LONGEST_STOP_S = 0.3
"""Limits must let every joint stop from full speed within this time, so that a hold is one within it."""


@dataclass(frozen=True)
class MotionConfig:
    """How the arm may move.

    Attributes:
        limits: the arm's hard limits.
        cartesian: rules on the end effector's targets.
        joint_margin_rad: distance kept from the joint limits.
        velocity_fraction: share of the arm's velocity limits that is used.
        joint_acceleration_rad_s2: highest acceleration of a joint.
        gripper_acceleration_m_s2: highest acceleration of the gripper's opening.
        bandwidth_rad_s: natural frequency of the filter between target and command.
        blend_s: time over which a new chunk takes over from the running one.
        action_latency_s: time from a command to its effect; targets are taken this much earlier.
    """

    limits: ArmLimits
    cartesian: CartesianRules
    joint_margin_rad: float
    velocity_fraction: float
    joint_acceleration_rad_s2: float
    gripper_acceleration_m_s2: float
    bandwidth_rad_s: float
    blend_s: float
    action_latency_s: float

    def bounds(self) -> JointBounds:
        """Bounds of the six joints and the gripper. Raises `ValueError` if limits do not fit together."""
        limits, margin = self.limits, self.joint_margin_rad
        bounds = JointBounds(
            position_min=np.append(np.array(limits.position_min) + margin, 0.0),
            position_max=np.append(np.array(limits.position_max) - margin, limits.gripper_width_max),
            velocity_max=np.append(limits.velocity_max, limits.gripper_velocity_max) * self.velocity_fraction,
            acceleration_max=np.append(
                np.full(JOINT_COUNT, self.joint_acceleration_rad_s2), self.gripper_acceleration_m_s2
            ),
        )
        if bounds.stopping_time_s > LONGEST_STOP_S:
            raise ValueError(
                f"from full speed a joint would take {bounds.stopping_time_s:.2f} s to stop, more than "
                f"{LONGEST_STOP_S} s: lower velocity_fraction or raise the acceleration limits"
            )
        return bounds


class Motion:
    """Makes commands; it knows targets and limits, but no states of the driver."""

    def __init__(self, config: MotionConfig, kinematics: Kinematics, counts: RuleCounts) -> None:
        bounds = config.bounds()
        self._limits = config.limits
        self._counts = counts
        joints, gripper = bounds.part(slice(JOINT_COUNT)), bounds.part(slice(JOINT_COUNT, None))
        check = StoppingPathCheck(config.cartesian, kinematics)
        self._tracker = JointTracker(joints, config.bandwidth_rad_s, check)
        self._gripper = JointTracker(gripper, config.bandwidth_rad_s)
        self._filter = CartesianFilter(config.cartesian, joints, kinematics, counts)
        self.schedule = Schedule(config.blend_s)
        self.lead_s = self._tracker.delay_s + config.action_latency_s
        """Targets are taken this much ahead of time: the filter and the arm bring them that much late."""

    @property
    def moving(self) -> bool:
        """Whether the newest command has a velocity."""
        return self._tracker.moving or self._gripper.moving

    @property
    def joints(self) -> Array:
        """Commanded joint angles `(6,)` [rad]."""
        return self._tracker.position

    @property
    def command(self) -> ArmCommand:
        """The newest command."""
        return ArmCommand(self._tracker.position.copy(), self._tracker.velocity.copy(), self._width)

    @property
    def _width(self) -> float:
        return float(self._gripper.position[0])

    def start(self, joints: Array, gripper_width: float) -> None:
        """Stand still exactly where the arm is measured to be: a joint beyond its limit may only move back in."""
        self._tracker.reset(joints)
        self._gripper.reset(np.array([min(max(gripper_width, 0.0), self._limits.gripper_width_max)]))
        self.schedule.clear()

    def run(self, chunk: Chunk, now_s: float, already_running: bool) -> None:
        """Execute a valid chunk from now on, out of the running one or from where the command stands."""
        if not already_running:
            self._filter.reset(self.joints)
        standing = Target(self._filter.pose, self._width)
        self.schedule.replace(chunk, now_s + self.lead_s, standing)

    def follow_chunk(self, now_s: float, dt_s: float) -> None:
        """Take a step of `dt_s` along the running chunk."""
        target = self.schedule.at(now_s + self.lead_s)
        joints = self._filter.joints_for(target.pose, dt_s)
        if not 0.0 <= target.width <= self._limits.gripper_width_max:
            self._counts.count(GRIPPER_RANGE)
        saturation = self._tracker.follow(joints, dt_s)
        self._counts.count_saturation(saturation)
        self._gripper.follow(np.array([target.width]), dt_s)
        if saturation.way and not self._tracker.moving:
            # The straight way in joint space is barred, the one in space that the filter takes need not be.
            self._filter.reset(self.joints)

    def follow_joints(self, joints: Array, dt_s: float) -> None:
        """Take a step of `dt_s` towards joint angles `(6,)`, with the gripper as it is."""
        self._counts.count_saturation(self._tracker.follow(joints, dt_s))
        self._gripper.brake(dt_s)

    def brake(self, dt_s: float) -> None:
        """Take a step of `dt_s` towards rest."""
        self._tracker.brake(dt_s)
        self._gripper.brake(dt_s)
