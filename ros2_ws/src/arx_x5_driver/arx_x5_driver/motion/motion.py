# SPDX-License-Identifier: Apache-2.0
"""The commanded motion: schedule of targets -> Cartesian rules -> inverse kinematics -> joint limits.

Every command that the driver sends is made here, by `JointTracker` with `StoppingPathCheck`, so that the limits
of both hold whatever is done above.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arx_x5_driver.arm import JOINT_COUNT, ArmCommand
from arx_x5_driver.array import Array
from arx_x5_driver.chunk import Chunk
from arx_x5_driver.geometry.kinematics import Kinematics
from arx_x5_driver.geometry.limits import ArmLimits
from arx_x5_driver.geometry.se3 import Pose
from arx_x5_driver.motion.cartesian_filter import CartesianFilter
from arx_x5_driver.motion.joint_bounds import JointBounds, SharedBounds
from arx_x5_driver.motion.joint_tracker import POSITION, SHARED_ACCELERATION, VELOCITY, JointTracker, Saturation
from arx_x5_driver.motion.latency import ActionLatency
from arx_x5_driver.motion.schedule import Schedule, Target
from arx_x5_driver.motion.stopping_path import StoppingPathCheck
from arx_x5_driver.rules.cartesian import CartesianRules
from arx_x5_driver.rules.rules import (  # fmt: skip
    CARTESIAN_ACCELERATION,
    CARTESIAN_JERK,
    CLIP,
    GRIPPER_RANGE,
    JOINT_ACCELERATION,
    JOINT_JERK,
    JOINT_POSITION,
    JOINT_VELOCITY,
    POSE_RULES,
    RuleBook,
)

LONGEST_STOP_S = 0.3
"""Limits must let every joint stop from any motion within this time."""

_SLOWEST_M_S = 0.5  # that the shared limit of velocity must permit: with less the arm would hardly move


@dataclass(frozen=True)
class MotionConfig:
    """Limits and filters of the motion.

    Attributes:
        limits: the arm's hard limits.
        cartesian: rules on the end effector's targets.
        joint_margin_rad: distance kept from the joint limits.
        velocity_fraction: share of the arm's velocity limits that is used.
        joint_acceleration_rad_s2: highest acceleration of a joint.
        joint_jerk_rad_s3: highest jerk of a joint.
        gripper_acceleration_m_s2: highest acceleration of the gripper's opening.
        gripper_jerk_m_s3: its highest jerk.
        bandwidth_rad_s: natural frequency of the filter between target and command.
        blend_s: time over which a new chunk takes over from the running one.
        action_latency_s: time from a command to its effect, by which targets are taken earlier; negative: measured.
    """

    limits: ArmLimits
    cartesian: CartesianRules
    joint_margin_rad: float
    velocity_fraction: float
    joint_acceleration_rad_s2: float
    joint_jerk_rad_s3: float
    gripper_acceleration_m_s2: float
    gripper_jerk_m_s3: float
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
            jerk_max=np.append(np.full(JOINT_COUNT, self.joint_jerk_rad_s3), self.gripper_jerk_m_s3),
        )
        if bounds.stopping_time_s > LONGEST_STOP_S:
            raise ValueError(
                f"from full speed a joint would take {bounds.stopping_time_s:.2f} s to stop, more than "
                f"{LONGEST_STOP_S} s: lower velocity_fraction or raise the limits of acceleration and jerk"
            )
        rules = self.cartesian
        shared = SharedBounds((), rules.acceleration_m_s2, rules.jerk_m_s3, LONGEST_STOP_S)
        if shared.velocity_max < _SLOWEST_M_S:
            raise ValueError(
                f"{rules.acceleration_m_s2:g} m/s^2 cannot be ended within {LONGEST_STOP_S} s with {rules.jerk_m_s3:g} "
                "m/s^3: raise cartesian_jerk_m_s3 or lower cartesian_acceleration_m_s2"
            )
        return bounds


class Motion:
    """Make commands from targets within limits, without knowing the states of the driver."""

    def __init__(self, config: MotionConfig, kinematics: Kinematics, book: RuleBook) -> None:
        """Stand at the allowed joint angles nearest to zero; `start` sets the true ones."""
        bounds = config.bounds()
        self._width_max_m = config.limits.gripper_width_max
        self._kinematics = kinematics
        self._cartesian = config.cartesian
        self._book = book
        joints, gripper = bounds.part(slice(JOINT_COUNT)), bounds.part(slice(JOINT_COUNT, None))
        check = StoppingPathCheck(config.cartesian, kinematics)
        rules = config.cartesian
        shared = SharedBounds(kinematics.levers_m, rules.acceleration_m_s2, rules.jerk_m_s3, LONGEST_STOP_S)
        self._tracker = JointTracker(joints, config.bandwidth_rad_s, check, [shared])
        self._gripper = JointTracker(gripper, config.bandwidth_rad_s)
        self._filter = CartesianFilter(config.cartesian, joints, kinematics, book)
        self.schedule = Schedule(config.blend_s)
        self.latency = ActionLatency(config.action_latency_s)

    @property
    def lead_s(self) -> float:
        """Time by which targets are taken ahead: the delay of the filter and the arm."""
        return self._tracker.delay_s + self.latency.seconds

    @property
    def moving(self) -> bool:
        """Whether the newest command moves anything."""
        return self._tracker.moving or self._gripper.moving

    @property
    def joints(self) -> Array:
        """Commanded joint angles `(6,)` [rad]."""
        return np.array(self._tracker.motion.position)

    @property
    def pose(self) -> Pose:
        """Commanded pose of the end effector in the base frame."""
        return self._kinematics.forward(self.joints)

    @property
    def command(self) -> ArmCommand:
        """The newest command."""
        position, velocity, acceleration = np.array(self._tracker.motion)
        gripper = self._gripper.motion
        return ArmCommand(
            position=position,
            velocity=velocity,
            gripper_width=gripper.position[0],
            gripper_velocity=gripper.velocity[0],
            acceleration=acceleration,
            gripper_acceleration=gripper.acceleration[0],
        )

    def start(self, joints: Array, gripper_width: float) -> None:
        """Stand still exactly where the arm is measured: a joint or gripper beyond its limit may only move back in."""
        self._tracker.reset(joints.tolist())
        self._gripper.reset([gripper_width])
        self.schedule.clear()

    def halt(self) -> None:
        """Stand still at the last command: the arm does so already, and there is nothing to brake."""
        self._tracker.reset(self._tracker.motion.position)
        self._gripper.reset(self._gripper.motion.position)
        self._filter.reset(self.joints)

    def refused_for(self, chunk: Chunk) -> str | None:
        """Return the rule on single poses that a valid chunk breaks and that does not clip, None if there is none."""
        if all(self._book.action(rule) == CLIP for rule in POSE_RULES):
            return None
        broken = self._cartesian.broken_by(chunk)
        if ((chunk.widths < 0.0) | (chunk.widths > self._width_max_m)).any():
            broken.append(GRIPPER_RANGE)
        return next((rule for rule in broken if self._book.action(rule) != CLIP), None)

    def run(self, chunk: Chunk, now_s: float, already_running: bool) -> None:
        """Execute a valid chunk from now on, from the running one or from the present command."""
        if not already_running:
            self._filter.reset(self.joints)
        self.latency.renew()
        standing = Target(self._filter.pose, self._gripper.motion.position[0])
        self.schedule.replace(chunk, now_s + self.lead_s, standing)

    def observe(self, measured: Array, since_s: float) -> None:
        """Note the arm's measured joints `(6,)` at this time after the newest command."""
        position, velocity, _ = np.array(self._tracker.motion)
        self.latency.observe(position + velocity * since_s - measured, velocity)

    def follow_chunk(self, now_s: float, dt_s: float, speed_share: float) -> None:
        """Take a step of `dt_s` along the running chunk, at a share of the Cartesian speeds."""
        target = self.schedule.at(now_s + self.lead_s)
        joints = self._filter.joints_for(target.pose, dt_s, speed_share)
        if not 0.0 <= target.width <= self._width_max_m:
            self._book.act(GRIPPER_RANGE)
        barred = self._step(joints, dt_s)
        self._gripper.follow([target.width], dt_s)
        if barred and not self._tracker.moving:
            # The straight path in joint space is barred, but the Cartesian one from here need not be.
            self._filter.reset(self.joints)

    def follow_joints(self, joints: Array, dt_s: float) -> None:
        """Take a step of `dt_s` towards joint angles `(6,)`, with the gripper as it is."""
        self._step(joints, dt_s)
        self._gripper.brake(dt_s)

    def brake(self, dt_s: float) -> None:
        """Take a step of `dt_s` towards rest."""
        self._tracker.brake(dt_s)
        self._gripper.brake(dt_s)

    def _step(self, joints: Array, dt_s: float) -> bool:
        """Let the joints follow, and note the rules that acted; return whether the path was barred."""
        saturation = self._tracker.follow(joints.tolist(), dt_s)
        for rule in _broken(saturation):
            self._book.act(rule)
        return saturation.barred is not None


def _broken(saturation: Saturation) -> list[str]:
    names = {POSITION: JOINT_POSITION, VELOCITY: JOINT_VELOCITY, SHARED_ACCELERATION: CARTESIAN_ACCELERATION}
    broken = [names.get(saturation.barred, saturation.barred)] if saturation.barred else []
    limits = {
        JOINT_VELOCITY: saturation.velocity,
        JOINT_ACCELERATION: saturation.acceleration,
        JOINT_JERK: saturation.jerk,
        CARTESIAN_ACCELERATION: saturation.shared_acceleration,
        CARTESIAN_JERK: saturation.shared_jerk,
    }
    return broken + [rule for rule, broke in limits.items() if broke]
