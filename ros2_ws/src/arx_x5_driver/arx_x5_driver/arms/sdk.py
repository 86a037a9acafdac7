# SPDX-License-Identifier: Apache-2.0
"""The real arm, through the SDK's joint controller (PyPI `arx5-interface`).

Nothing of the SDK is touched before `connect`, so the driver can be imported and tested without it. The SDK
talks to the motors at 500 Hz from its own thread; calls here only exchange the newest command and state with it.
What is said of it here was read in its source (controller_base.cpp of April 2026).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arx_x5_driver.arm import ArmCommand, ArmError, ArmState
from arx_x5_driver.kinematics import SdkMissingError, import_sdk, limits_of

ADVICE = (
    "hold the arm and switch its power off and on, check its power and bus, "
    "then restart the driver (or clean it up, configure and activate it)"
)
"""What to do when the SDK hangs or has crashed: it cannot be trusted to send anything to the motors any more."""

DAMPING_S = 2.0
"""How long the SDK's destructor damps the motors."""

_NETWORK_INTERFACES = Path("/sys/class/net")
_UP = 0x1  # IFF_UP of linux/if.h
_MOVING_RAD_S = 0.1  # at this speed a joint passes the resolution of its encoder in a few milliseconds
_FROZEN_S = 0.05


class Arx5SdkArm:
    """An X5 or L5 on a CAN or EtherCAT-CAN interface.

    The motors stay damped, without torque that holds the arm, until the first command.
    """

    def __init__(
        self,
        model: str,
        interface: str,
        *,
        on_close: str = "damp",
        hold_s: float = 0.0,
        torque_on_error_rad: float = 0.1,
        gripper_open_readout_rad: float = 0.0,
        gripper_width_m: float = 0.0,
    ) -> None:
        """Remember what to connect to.

        Args:
            model: of `limits.LIMITS`.
            interface: of the network, `can0` for a CAN adapter, `eth0` or `enx...` for EtherCAT-CAN.
            on_close: `damp` lets the arm sink slowly when it is released; `hold` leaves the motors as they are.
            hold_s: how long the arm is held before.
            torque_on_error_rad: joints may be this far from the first command; else there is no torque.
            gripper_open_readout_rad: of the gripper's motor when it is open; 0: as the SDK has it for the model.
            gripper_width_m: the widest opening of the gripper; 0: as the SDK has it for the model.

        Raises `ValueError` for an unknown model, or one whose motors may not be left alone.
        """
        limits_of(model)
        if on_close == "hold" and model != "L5":
            raise ValueError(f"motors of the {model} must not be left with torque, only an L5's: use on_shutdown damp")
        self._model = model
        self._interface = interface
        self._on_close = on_close
        self._hold_s = hold_s
        self._torque_on_error_rad = torque_on_error_rad
        self._gripper_open_readout_rad = gripper_open_readout_rad
        self._gripper_width_m = gripper_width_m
        self._sdk: Any = None
        self._controller: Any = None
        self._torque_on = False
        self._clock_offset_s = 0.0
        self._moving_since_s: float | None = None
        self._reading: NDArray[np.float64] = np.zeros(0)
        self._changed_s = 0.0

    def connect(self) -> None:
        """Open the interface and read the motors; they are damped. Raises `ArmError`."""
        self._check_interface()
        try:
            self._sdk = import_sdk()
            self._controller = self._sdk.Arx5JointController(*self._configs(), self._interface)
        except (SdkMissingError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ArmError(f"cannot connect to the {self._model} on '{self._interface}': {reason}") from error
        # The SDK counts seconds from the controller's construction.
        self._clock_offset_s = time.monotonic() - self._controller.get_timestamp()
        self._torque_on = False
        self._moving_since_s = None

    def read(self) -> ArmState:
        """The state that the SDK's thread received last."""
        state = self._connected().get_joint_state()
        position, velocity, effort = np.array(state.pos()), np.array(state.vel()), np.array(state.torque())
        return ArmState(
            stamp_s=self._stamp_of(np.concatenate((position, velocity, effort)), state.timestamp),
            position=position,
            velocity=velocity,
            effort=effort,
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
        target = self._sdk.JointState(
            command.position, command.velocity, np.zeros_like(command.position), command.gripper_width
        )
        target.gripper_vel = command.gripper_velocity
        controller.set_joint_cmd(target)
        if not self._torque_on:
            self._raise_gains()
        moving = float(np.abs(command.velocity).max()) > _MOVING_RAD_S
        self._moving_since_s = (self._moving_since_s or time.monotonic()) if moving else None

    def close(self) -> None:
        """Hold the arm for a while, then damp it, which takes 2 s and lets it sink, or leave it; let go of the bus."""
        if self._controller is None:
            return
        if self._torque_on:
            time.sleep(self._hold_s)
        if self._on_close == "damp":
            self._controller.set_to_damping()
        self._controller = None  # the SDK's destructor does the rest

    def _check_interface(self) -> None:
        name = self._interface
        folder = _NETWORK_INTERFACES / name
        is_can = name.startswith("can")
        up = f"`sudo ip link set {name} up{' type can bitrate 1000000' if is_can else ''}`"
        if not folder.exists():
            kind = "CAN" if is_can else "network"
            raise ArmError(f"there is no {kind} interface '{name}': plug in the adapter, then {up}")
        if not int((folder / "flags").read_text(), 16) & _UP:
            raise ArmError(f"the interface '{name}' is down: {up}")

    def _configs(self) -> tuple[Any, Any]:
        """The SDK's configurations of arm and controller, as it has them but for what this arm was told."""
        robot = self._sdk.RobotConfigFactory.get_instance().get_config(self._model)
        if self._gripper_open_readout_rad:
            robot.gripper_open_readout = self._gripper_open_readout_rad
        if self._gripper_width_m:
            robot.gripper_width = self._gripper_width_m
        factory = self._sdk.ControllerConfigFactory.get_instance()
        controller = factory.get_config("joint_controller", robot.joint_dof)
        controller.shutdown_to_passive = self._on_close == "damp"
        return robot, controller

    def _stamp_of(self, reading: NDArray[np.float64], sdk_stamp_s: float) -> float:
        """When the motors were heard: the SDK stamps every cycle, whether or not any of them answered."""
        now_s = time.monotonic()
        if self._reading.shape != reading.shape or (self._reading != reading).any():
            self._reading, self._changed_s = reading, sdk_stamp_s + self._clock_offset_s
        # What moves cannot show the same eighteen numbers again and again; what stands still may.
        if self._moving_since_s is not None and now_s - self._moving_since_s > _FROZEN_S:
            return self._changed_s
        return float(sdk_stamp_s) + self._clock_offset_s

    def _check_distance(self, command: ArmCommand) -> None:
        error_rad = float(np.abs(self.read().position - command.position).max())
        if not error_rad <= self._torque_on_error_rad:
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
