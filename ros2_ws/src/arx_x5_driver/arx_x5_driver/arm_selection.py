# SPDX-License-Identifier: Apache-2.0
"""Make the arm that the parameters select."""

from __future__ import annotations

from functools import partial

import numpy as np

from arx_x5_driver.arm import Arm
from arx_x5_driver.arms.faulty import FaultyArm
from arx_x5_driver.arms.isolated import IsolatedArm
from arx_x5_driver.arms.loopback import LoopbackArm
from arx_x5_driver.arms.sdk import ADVICE, DAMPING_S, Arx5SdkArm
from arx_x5_driver.parameters import DriverParameters

_RELEASE_S = 2.0  # that the SDK may need beyond the time that it states


def make_arm(parameters: DriverParameters) -> Arm:
    """Return the arm to drive, not connected yet. Raises `ValueError` for parameters that do not fit together."""
    sdk_arm = partial(
        Arx5SdkArm,
        parameters.arm_model,
        parameters.can_interface,
        on_close=parameters.on_shutdown,
        hold_s=parameters.shutdown_hold_s,
        period_s=1.0 / parameters.rate_hz,
        torque_on_error_rad=parameters.torque_on_error_rad,
        following_error_rad=parameters.following_error_rad,
        gravity_m_s2=parameters.gravity_m_s2,
        gripper_open_readout_rad=parameters.gripper_open_readout_rad,
        gripper_width_m=parameters.gripper_width_m,
    )
    factory = sdk_arm if parameters.arm == "sdk" else partial(_loopback, parameters)
    arm: Arm = factory()  # also for an isolated arm, so that wrong parameters are refused in this process
    if not parameters.isolate_arm:
        if parameters.arm == "sdk":
            raise ValueError(
                "isolate_arm must be true for arm sdk: if the SDK hangs, so would all of the driver with it"
            )
        return arm
    return IsolatedArm(
        factory,
        timeout_s=parameters.arm_timeout_s,
        close_timeout_s=parameters.shutdown_hold_s + DAMPING_S + _RELEASE_S,
        priority=parameters.realtime_priority,
        advice=ADVICE,
    )


def release_notice(parameters: DriverParameters) -> str:
    """Return what happens to the arm when it is released, for the operator."""
    if parameters.dry_run:
        return "releasing the arm, to which nothing was sent; a real one is damped, no longer carries itself, and sinks"
    if parameters.on_shutdown == "hold":
        return "releasing the arm; its motors stay as they are and hold it while they have power"
    return f"releasing the arm; a real one is held for {parameters.shutdown_hold_s:g} s, then damped, and sinks"


def _loopback(parameters: DriverParameters) -> Arm:
    position = np.array(parameters.loopback_position_rad)
    return FaultyArm(
        LoopbackArm(position, parameters.loopback_gripper_width_m, parameters.loopback_lag_s),
        parameters.loopback_fault,
        parameters.loopback_fault_after_s,
        parameters.loopback_fault_duration_s,
        parameters.loopback_dropout,
    )
