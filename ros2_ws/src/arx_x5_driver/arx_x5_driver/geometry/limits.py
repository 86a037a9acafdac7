# SPDX-License-Identifier: Apache-2.0
"""Limits of the X5 arms, from their SDK's configuration (`arx5_interface.RobotConfigFactory`).

The numbers are here, too, so that a driver, a simulator or a test can use them without the SDK; a test compares
them with the installed SDK. The limits in the URDF files are wider or contradict these: do not
use them. The SDK has neither acceleration nor jerk limits, and its end effector velocities (0.6 m/s, 1.8
rad/s) are stored, not applied.
"""

from __future__ import annotations

from dataclasses import dataclass

Joints = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class ArmLimits:
    """Hard limits of one arm model.

    Attributes:
        model: name of the arm in the SDK.
        position_min: lowest joint angles [rad].
        position_max: highest joint angles [rad].
        velocity_max: highest joint speeds [rad/s].
        torque_max: highest joint torques [Nm]; 40 ms above them make the SDK stop the arm.
        gripper_width_max: opening of the open gripper [m]; the closed one has 0.
        gripper_velocity_max: highest speed of the opening [m/s].
        gripper_torque_max: highest torque of the gripper's motor [Nm].
    """

    model: str
    position_min: Joints
    position_max: Joints
    velocity_max: Joints
    torque_max: Joints
    gripper_width_max: float
    gripper_velocity_max: float
    gripper_torque_max: float


def _limits(model: str, gripper_width_max: float) -> ArmLimits:
    return ArmLimits(
        model=model,
        position_min=(-3.14, -0.05, -0.1, -1.6, -1.57, -2.0),
        position_max=(2.618, 3.50, 3.20, 1.55, 1.57, 2.0),
        velocity_max=(5.0, 5.0, 5.5, 5.5, 5.0, 5.0),
        torque_max=(30.0, 40.0, 30.0, 15.0, 10.0, 10.0),
        gripper_width_max=gripper_width_max,
        gripper_velocity_max=0.3,
        gripper_torque_max=1.5,
    )


LIMITS: dict[str, ArmLimits] = {
    "X5": _limits("X5", gripper_width_max=0.088),
    "X5_umi": _limits("X5_umi", gripper_width_max=0.086),
    "L5": _limits("L5", gripper_width_max=0.088),
}
"""By model. X5 and L5 differ in their motors: the wrong name makes the SDK drive them with wrong gains."""
