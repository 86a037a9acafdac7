# SPDX-License-Identifier: Apache-2.0
"""The real arm, through the SDK's joint controller (PyPI `arx5-interface`).

Nothing of the SDK is touched before `connect`, so the driver can be imported and tested without it. The SDK
talks to the motors at 500 Hz from its own thread; calls here only exchange the newest command and state with it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from arx_x5_driver.arm import ArmCommand, ArmError, ArmState
from arx_x5_driver.kinematics import SdkMissingError, import_sdk, limits_of

_TORQUE_ON_ERROR_RAD = 0.2  # beyond this the SDK refuses gains (controller_base.cpp, set_gain)
_NETWORK_INTERFACES = Path("/sys/class/net")


class Arx5SdkArm:
    """An X5 or L5 on a CAN interface.

    The motors stay damped, without torque that holds the arm, until the first command.
    """

    def __init__(self, model: str, interface: str) -> None:
        """Remember what to connect to: a model of `limits.LIMITS` and a CAN interface such as `can0`."""
        limits_of(model)
        self._model = model
        self._interface = interface
        self._sdk: Any = None
        self._controller: Any = None
        self._torque_on = False
        self._clock_offset_s = 0.0

    def connect(self) -> None:
        """Open the CAN interface and read the motors; they are damped. Raises `ArmError`."""
        if not (_NETWORK_INTERFACES / self._interface).exists():
            raise ArmError(
                f"there is no CAN interface '{self._interface}': plug in the adapter, then "
                f"`sudo ip link set {self._interface} up type can bitrate 1000000`"
            )
        try:
            self._sdk = import_sdk()
            self._controller = self._sdk.Arx5JointController(self._model, self._interface)
        except (SdkMissingError, RuntimeError) as error:
            raise ArmError(f"cannot connect to the {self._model} on '{self._interface}': {error}") from error
        # The SDK counts seconds from the controller's construction.
        self._clock_offset_s = time.monotonic() - self._controller.get_timestamp()
        self._torque_on = False

    def read(self) -> ArmState:
        """The state that the SDK's thread received last."""
        state = self._connected().get_joint_state()
        return ArmState(
            stamp_s=state.timestamp + self._clock_offset_s,
            position=np.array(state.pos()),
            velocity=np.array(state.vel()),
            effort=np.array(state.torque()),
            gripper_width=float(state.gripper_pos),
            gripper_velocity=float(state.gripper_vel),
            gripper_effort=float(state.gripper_torque),
        )

    def command(self, command: ArmCommand) -> None:
        """Replace the SDK's target at once; the first command also raises the gains."""
        controller = self._connected()
        if not self._torque_on:
            self._check_distance(command)
        # A stamp of 0, the constructor's default, means: now, without the SDK's own interpolation.
        controller.set_joint_cmd(
            self._sdk.JointState(
                command.position, command.velocity, np.zeros_like(command.position), command.gripper_width
            )
        )
        if not self._torque_on:
            self._raise_gains()

    def close(self) -> None:
        """Damp the motors and let go of the interface; this takes the SDK about 2 s, and the arm sinks."""
        if self._controller is not None:
            self._controller.set_to_damping()
            self._controller = None

    def _check_distance(self, command: ArmCommand) -> None:
        error_rad = float(np.abs(self.read().position - command.position).max())
        if error_rad > _TORQUE_ON_ERROR_RAD:
            raise ArmError(f"torque stays off: the first command is {error_rad:.2f} rad away from the arm")

    def _raise_gains(self) -> None:
        config = self._connected().get_controller_config()
        gain = self._sdk.Gain(
            config.default_kp, config.default_kd, config.default_gripper_kp, config.default_gripper_kd
        )
        try:
            self._connected().set_gain(gain)
        except RuntimeError as error:
            raise ArmError(f"the SDK refuses torque: {error}") from error
        self._torque_on = True

    def _connected(self) -> Any:
        if self._controller is None:
            raise ArmError("the arm is not connected")
        return self._controller
