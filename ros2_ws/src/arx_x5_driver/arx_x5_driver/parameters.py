# SPDX-License-Identifier: Apache-2.0
"""Parameters of the driver, and the configuration that they make."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from arx_x5_driver.arms.faulty import FAULTS
from arx_x5_driver.control.config import ControllerConfig
from arx_x5_driver.geometry.kinematics import limits_of
from arx_x5_driver.geometry.limits import LIMITS, ArmLimits
from arx_x5_driver.motion.motion import MotionConfig
from arx_x5_driver.rules.cartesian import CartesianRules
from arx_x5_driver.rules.chunk_gate import ChunkRules
from arx_x5_driver.rules.divergence_guard import MODES, GuardRules
from arx_x5_driver.rules.parameters import RuleParameters
from uva_node_utils.specs import param


@dataclass(frozen=True)
class DriverParameters(RuleParameters):
    """See each parameter's description."""

    arm: str = param(
        "sdk", "Arm to drive: sdk (a real one) or loopback (none, for dry runs).", choices=("sdk", "loopback")
    )
    arm_model: str = param(
        "X5_umi", "Model of the arm; a wrong one means wrong motors and limits.", choices=tuple(LIMITS)
    )
    can_interface: str = param("can0", "CAN interface of the real arm.")
    enable_on_activate: bool = param(False, "Whether the arm is enabled by activation; otherwise call x5/enable.")
    frame: str = param("base_link", "Frame that poses are in.")
    rate_hz: float = param(200.0, "Rate of the control loop [Hz].", low=20.0, high=500.0)
    realtime_priority: int = param(
        20, "Real-time priority of the control loop, if the system permits one; 0: none.", low=0, high=98
    )

    velocity_fraction: float = param(0.4, "Share of the arm's joint velocity limits that is used.", low=0.01, high=1.0)
    joint_acceleration_rad_s2: float = param(15.0, "Highest acceleration of a joint [rad/s^2].", low=0.1, high=100.0)
    gripper_acceleration_m_s2: float = param(
        1.5, "Highest acceleration of the gripper's opening [m/s^2].", low=0.01, high=20.0
    )
    joint_jerk_rad_s3: float = param(600.0, "Highest jerk of a joint [rad/s^3].", low=10.0, high=10000.0)
    gripper_jerk_m_s3: float = param(60.0, "Highest jerk of the gripper's opening [m/s^3].", low=1.0, high=1000.0)
    joint_margin_rad: float = param(0.02, "Distance kept from the arm's joint limits [rad].", low=0.0, high=0.2)
    cartesian_speed_m_s: float = param(0.4, "Highest speed of the end effector [m/s].", low=0.001, high=2.0)
    cartesian_speed_rad_s: float = param(1.5, "Highest rate of turn of the end effector [rad/s].", low=0.001, high=6.0)
    cartesian_acceleration_m_s2: float = param(
        40.0,
        "How much the joints may accelerate the end effector, all together and with the arm stretched out [m/s^2].",
        low=5.0,
        high=1000.0,
    )
    cartesian_jerk_m_s3: float = param(
        2000.0, "How much their jerks may add to that in a second [m/s^3].", low=200.0, high=100000.0
    )
    workspace_min_m: list[float] = param(
        [0.05, -0.55, 0.0], "Lowest corner of the box that the end effector stays in [m]."
    )
    workspace_max_m: list[float] = param(
        [0.75, 0.55, 0.75], "Highest corner of the box that the end effector stays in [m]."
    )
    table_height_m: float = param(0.0, "Height of the table's surface [m].", low=-1.0, high=1.0)
    table_clearance_m: float = param(0.02, "How far above the table the gripper stays [m].", low=0.0, high=0.5)
    gripper_keypoints_m: list[float] = param(
        [0.0, 0.0, 0.0, 0.0, 0.05, 0.012, 0.0, 0.05, -0.012, 0.0, -0.05, 0.012, 0.0, -0.05, -0.012],
        "Points of the gripper that stay above the table: x, y, z of each in the end effector's frame [m].",
    )
    self_distance_m: float = param(0.005, "Distance between parts of the arm [m].", low=0.0, high=0.1)
    singularity_slow: float = param(
        40.0, "Condition number of the kinematics from which on the end effector is slowed.", low=1.0, high=1e6
    )
    singularity_slowest: float = param(
        200.0, "Condition number at which a tenth of its speed is left.", low=1.0, high=1e7
    )
    ik_jump_rad: float = param(
        0.2, "Largest joint change between solutions of consecutive periods [rad].", low=0.01, high=3.0
    )

    max_chunk_age_s: float = param(1.0, "Oldest observation that a chunk may rest on [s].", low=0.01, high=10.0)
    max_chunk_future_s: float = param(0.1, "How far in the future a chunk's stamp may lie [s].", low=0.0, high=1.0)
    max_chunk_horizon_s: float = param(5.0, "How far ahead a chunk may reach [s].", low=0.1, high=60.0)
    max_step_m: float = param(0.1, "Longest distance between consecutive steps of a chunk [m].", low=0.001, high=1.0)
    max_step_rad: float = param(0.6, "Largest turn between consecutive steps of a chunk [rad].", low=0.001, high=3.2)
    max_start_m: float = param(
        0.1, "Longest distance from the arm to where a chunk begins for it [m].", low=0.001, high=2.0
    )
    max_start_rad: float = param(
        0.6, "Largest angle from the arm to where a chunk begins for it [rad].", low=0.001, high=3.2
    )
    min_chunk_interval_s: float = param(
        0.01, "Shortest time from one accepted chunk to the next [s].", low=0.0, high=1.0
    )
    restart_silence_s: float = param(
        1.0, "After this long without a chunk a policy may count from 0 again [s].", low=0.1, high=10.0
    )

    blend_s: float = param(0.15, "Time over which a new chunk takes over from the old one [s].", low=0.0, high=1.0)
    tracking_bandwidth_rad_s: float = param(
        30.0, "Natural frequency of the filter between target and command [rad/s].", low=2.0, high=100.0
    )
    action_latency_s: float = param(
        0.0,
        "Time from a command to its effect, made up for by looking ahead; negative: as measured [s].",
        low=-1.0,
        high=0.5,
    )
    command_lead_s: float = param(
        0.02, "How long after its stamp a point of x5/joint_command is due, for other arms [s].", low=0.0, high=0.5
    )
    state_latency_s: float = param(0.0, "Age of the arm's measurements at their stamps [s].", low=0.0, high=0.5)
    guard: str = param(
        "off", "What is done when the world diverges from the prediction: off, slow or hold.", choices=MODES
    )
    guard_slow_from: float = param(0.35, "Divergence from which on the end effector is slowed.", low=0.0, high=1e9)
    guard_hold_from: float = param(
        0.4, "Divergence at which it is slowest, or the chunk is given up.", low=0.0, high=1e9
    )
    guard_hold_s: float = param(1.0, "How long the arm then takes no chunk [s].", low=0.0, high=60.0)
    guard_timeout_s: float = param(0.5, "How long a reported divergence counts [s].", low=0.01, high=10.0)
    guard_settle_s: float = param(
        1.0, "How long the arm has to follow chunks before a report counts [s].", low=0.0, high=60.0
    )
    feedback_timeout_s: float = param(
        0.1,
        "Measurements that do not advance for this long are a fault; at least two periods of the loop [s].",
        low=0.01,
        high=2.0,
    )
    chunk_timeout_s: float = param(
        2.0,
        "A chunk that is not replaced within this time of its receipt is given up; 0: never [s].",
        low=0.0,
        high=60.0,
    )
    home_position_rad: list[float] = param([0.0] * 6, "Joint angles of the home position [rad].")
    home_speed_rad_s: float = param(0.4, "Speed of the fastest joint on the way home [rad/s].", low=0.01, high=1.5)

    dry_run: bool = param(False, "Whether everything is computed and published but no command is sent to the arm.")
    isolate_arm: bool = param(
        True, "Whether the arm runs in a process of its own, so that it may hang; must be for arm sdk."
    )
    arm_timeout_s: float = param(
        0.06, "An isolated arm that does not answer for this long hangs, which is a fault [s].", low=0.01, high=1.0
    )
    torque_on_error_rad: float = param(
        0.1,
        "With a joint this far from the first command a real arm does not begin to hold it [rad].",
        low=0.0,
        high=0.2,
    )
    following_error_rad: float = param(
        0.3,
        "With a joint this far from its command a real arm is let go, which is a fault [rad].",
        low=0.05,
        high=1.0,
    )
    gravity_m_s2: list[float] = param(
        [0.0, 0.0, -9.807], "Gravity in the frame of a real arm's base, which the SDK compensates [m/s^2]."
    )
    on_shutdown: str = param(
        "damp", "What becomes of a real arm: damp (it sinks) or hold (L5 only).", choices=("damp", "hold")
    )
    shutdown_hold_s: float = param(0.5, "How long a real arm is held before that [s].", low=0.0, high=20.0)
    gripper_open_readout_rad: float = param(
        0.0, "Reading of a real gripper's motor when open; 0: the model's own [rad].", low=-10.0, high=10.0
    )
    gripper_width_m: float = param(0.0, "Widest opening of the gripper; 0: the model's own [m].", low=0.0, high=0.2)
    loopback_lag_s: float = param(0.02, "Time constant of the loopback arm [s].", low=0.0, high=1.0)
    loopback_position_rad: list[float] = param([0.0] * 6, "Joint angles at which the loopback arm starts [rad].")
    loopback_gripper_width_m: float = param(
        0.0, "Opening of the gripper at which the loopback arm starts [m].", low=0.0, high=0.1
    )
    loopback_dropout: float = param(0.0, "Share of the loopback arm's measurements that get lost.", low=0.0, high=1.0)
    loopback_fault: str = param(
        "none", "Fault of the loopback arm: none, freeze, hang, raise or crash.", choices=FAULTS
    )
    loopback_fault_after_s: float = param(
        0.0, "The fault begins this long after the first command [s].", low=0.0, high=3600.0
    )
    loopback_fault_duration_s: float = param(0.0, "How long the fault lasts; 0: for ever [s].", low=0.0, high=3600.0)

    def arm_limits(self) -> ArmLimits:
        """Return the limits of the arm with its gripper."""
        limits = limits_of(self.arm_model)
        return replace(limits, gripper_width_max=self.gripper_width_m) if self.gripper_width_m else limits

    def controller_config(self) -> ControllerConfig:
        """Return the controller's configuration.

        Raises:
            ValueError: values that do not fit together.
        """
        for name in ("workspace_min_m", "workspace_max_m"):
            if len(getattr(self, name)) != 3:
                raise ValueError(f"{name} needs 3 numbers, got {getattr(self, name)}")
        if len(self.gripper_keypoints_m) % 3:
            raise ValueError(f"gripper_keypoints_m needs 3 numbers a point, got {self.gripper_keypoints_m}")
        cartesian = CartesianRules(
            workspace_min=np.array(self.workspace_min_m),
            workspace_max=np.array(self.workspace_max_m),
            table_height_m=self.table_height_m,
            table_clearance_m=self.table_clearance_m,
            keypoints=np.array(self.gripper_keypoints_m).reshape(-1, 3),
            self_distance_m=self.self_distance_m,
            speed_m_s=self.cartesian_speed_m_s,
            speed_rad_s=self.cartesian_speed_rad_s,
            acceleration_m_s2=self.cartesian_acceleration_m_s2,
            jerk_m_s3=self.cartesian_jerk_m_s3,
            singularity_slow=self.singularity_slow,
            singularity_slowest=self.singularity_slowest,
            ik_jump_rad=self.ik_jump_rad,
        )
        motion = MotionConfig(
            limits=self.arm_limits(),
            cartesian=cartesian,
            joint_margin_rad=self.joint_margin_rad,
            velocity_fraction=self.velocity_fraction,
            joint_acceleration_rad_s2=self.joint_acceleration_rad_s2,
            joint_jerk_rad_s3=self.joint_jerk_rad_s3,
            gripper_acceleration_m_s2=self.gripper_acceleration_m_s2,
            gripper_jerk_m_s3=self.gripper_jerk_m_s3,
            bandwidth_rad_s=self.tracking_bandwidth_rad_s,
            blend_s=self.blend_s,
            action_latency_s=self.action_latency_s,
        )
        chunks = ChunkRules(
            frame=self.frame,
            max_age_s=self.max_chunk_age_s,
            max_future_s=self.max_chunk_future_s,
            max_horizon_s=self.max_chunk_horizon_s,
            max_step_m=self.max_step_m,
            max_step_rad=self.max_step_rad,
            max_start_m=self.max_start_m,
            max_start_rad=self.max_start_rad,
            restart_silence_s=self.restart_silence_s,
            min_interval_s=self.min_chunk_interval_s,
        )
        return ControllerConfig(
            motion=motion,
            chunks=chunks,
            guard=GuardRules(
                mode=self.guard,
                slow_from=self.guard_slow_from,
                hold_from=self.guard_hold_from,
                hold_s=self.guard_hold_s,
                timeout_s=self.guard_timeout_s,
                settle_s=self.guard_settle_s,
            ),
            actions=self.actions(),
            period_s=1.0 / self.rate_hz,
            state_latency_s=self.state_latency_s,
            feedback_timeout_s=self.feedback_timeout_s,
            chunk_timeout_s=self.chunk_timeout_s or math.inf,
            home_position=np.array(self.home_position_rad),
            home_speed_rad_s=self.home_speed_rad_s,
        )
