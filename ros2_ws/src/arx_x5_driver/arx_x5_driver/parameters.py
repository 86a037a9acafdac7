# SPDX-License-Identifier: Apache-2.0
"""Parameters of the driver, and the configuration that they make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arx_x5_driver.chunk import ChunkRules
from arx_x5_driver.controller import ControllerConfig
from arx_x5_driver.kinematics import limits_of
from arx_x5_driver.limits import LIMITS
from arx_x5_driver.motion import MotionConfig
from arx_x5_driver.safety import CartesianRules
from uva_node_utils.specs import param


@dataclass(frozen=True)
class DriverParameters:
    """See each parameter's description."""

    arm: str = param(
        "sdk", "Arm to drive: sdk (a real one) or loopback (none, for dry runs).", choices=("sdk", "loopback")
    )
    arm_model: str = param(
        "X5_umi", "Model of the arm; a wrong one means wrong motors and limits.", choices=tuple(LIMITS)
    )
    can_interface: str = param("can0", "CAN interface of the real arm.")
    loopback_lag_s: float = param(0.02, "Time constant of the loopback arm [s].", low=0.0, high=1.0)
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
    joint_margin_rad: float = param(0.02, "Distance kept from the arm's joint limits [rad].", low=0.0, high=0.2)
    cartesian_speed_m_s: float = param(0.4, "Highest speed of the end effector [m/s].", low=0.001, high=2.0)
    cartesian_speed_rad_s: float = param(1.5, "Highest rate of turn of the end effector [rad/s].", low=0.001, high=6.0)
    workspace_min_m: list[float] = param(
        [0.05, -0.55, 0.0], "Lowest corner of the box that the end effector stays in [m]."
    )
    workspace_max_m: list[float] = param(
        [0.75, 0.55, 0.75], "Highest corner of the box that the end effector stays in [m]."
    )
    table_height_m: float = param(0.0, "Height of the table's surface [m].", low=-1.0, high=1.0)
    table_clearance_m: float = param(0.02, "How far above the table the end effector stays [m].", low=0.0, high=0.5)
    ik_jump_rad: float = param(
        0.2, "Largest joint change between solutions of consecutive periods [rad].", low=0.01, high=3.0
    )

    max_chunk_age_s: float = param(1.0, "Oldest observation that a chunk may rest on [s].", low=0.01, high=10.0)
    max_chunk_future_s: float = param(0.1, "How far in the future a chunk's stamp may lie [s].", low=0.0, high=1.0)
    max_chunk_horizon_s: float = param(5.0, "How far ahead a chunk may reach [s].", low=0.1, high=60.0)
    max_step_m: float = param(0.1, "Longest way between consecutive steps of a chunk [m].", low=0.001, high=1.0)
    max_step_rad: float = param(0.6, "Largest turn between consecutive steps of a chunk [rad].", low=0.001, high=3.2)
    restart_silence_s: float = param(
        1.0, "After this long without a chunk a policy may count from 0 again [s].", low=0.1, high=10.0
    )

    blend_s: float = param(0.15, "Time over which a new chunk takes over from the old one [s].", low=0.0, high=1.0)
    tracking_bandwidth_rad_s: float = param(
        30.0, "Natural frequency of the filter between target and command [rad/s].", low=2.0, high=100.0
    )
    action_latency_s: float = param(
        0.0, "Time from a command to its effect, made up for by looking ahead [s].", low=0.0, high=0.5
    )
    feedback_timeout_s: float = param(
        0.1, "Measurements that do not advance for this long are a fault [s].", low=0.01, high=2.0
    )
    home_position_rad: list[float] = param([0.0] * 6, "Joint angles of the home position [rad].")
    home_speed_rad_s: float = param(0.4, "Speed of the fastest joint on the way home [rad/s].", low=0.01, high=1.5)

    def controller_config(self) -> ControllerConfig:
        """The controller's configuration. Raises `ValueError` for values that do not fit together."""
        for name in ("workspace_min_m", "workspace_max_m"):
            if len(getattr(self, name)) != 3:
                raise ValueError(f"{name} needs 3 numbers, got {getattr(self, name)}")
        cartesian = CartesianRules(
            workspace_min=np.array(self.workspace_min_m),
            workspace_max=np.array(self.workspace_max_m),
            table_height_m=self.table_height_m,
            table_clearance_m=self.table_clearance_m,
            speed_m_s=self.cartesian_speed_m_s,
            speed_rad_s=self.cartesian_speed_rad_s,
            ik_jump_rad=self.ik_jump_rad,
        )
        motion = MotionConfig(
            limits=limits_of(self.arm_model),
            cartesian=cartesian,
            joint_margin_rad=self.joint_margin_rad,
            velocity_fraction=self.velocity_fraction,
            joint_acceleration_rad_s2=self.joint_acceleration_rad_s2,
            gripper_acceleration_m_s2=self.gripper_acceleration_m_s2,
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
            restart_silence_s=self.restart_silence_s,
        )
        return ControllerConfig(
            motion=motion,
            chunks=chunks,
            period_s=1.0 / self.rate_hz,
            feedback_timeout_s=self.feedback_timeout_s,
            home_position=np.array(self.home_position_rad),
            home_speed_rad_s=self.home_speed_rad_s,
        )
