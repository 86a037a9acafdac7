# SPDX-License-Identifier: Apache-2.0
"""The real arm, through the SDK's joint controller (PyPI `arx5-interface`).

Nothing of the SDK is touched before `connect`, so the driver can be imported and tested without it. The SDK
talks to the motors at 500 Hz from its own thread; calls here only exchange the newest command and state with it.
What is said of it here was read in its source (controller_base.cpp, joint_controller.cpp and utils.cpp of April 2026).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from arx_x5_driver.arm import ArmCommand, ArmError, ArmState
from arx_x5_driver.arms.can_interface import check_interface, lock_interface
from arx_x5_driver.arms.motor_watch import MOTOR_COUNT, MotorWatch
from arx_x5_driver.geometry.kinematics import import_sdk, limits_of

ADVICE = (
    "hold the arm and switch its power off and on, check its power and bus, "
    "then restart the driver (or clean it up, configure and activate it)"
)
"""What to do when the SDK hangs or has crashed: it cannot be trusted to send anything to the motors any more."""

DAMPING_S = 2.0
"""How long the SDK's destructor damps the motors."""

GRAVITY_M_S2 = (0.0, 0.0, -9.807)
"""For a level base; the SDK's own default."""

_GRIPPER_TORQUE_ON_M = 0.01  # more than the 5 mm beyond the range at which the SDK reports an error

LET_GO_S = 0.5
"""An arm that was let go takes no command for this long: those that are still on their way would grip it again."""

_logger = logging.getLogger(__name__)


class Arx5SdkArm:
    """An X5 or L5 on a CAN or EtherCAT-CAN interface.

    From `connect` on the SDK damps the motors and sends them the torque that carries the arm's weight, as far as its
    model is right; only commands make them hold a position.
    """

    def __init__(
        self,
        model: str,
        interface: str,
        *,
        on_close: str = "damp",
        hold_s: float = 0.0,
        period_s: float = 0.005,
        torque_on_error_rad: float = 0.1,
        following_error_rad: float = 0.3,
        gravity_m_s2: Sequence[float] = GRAVITY_M_S2,
        gripper_open_readout_rad: float = 0.0,
        gripper_width_m: float = 0.0,
    ) -> None:
        """Remember what to connect to.

        Args:
            model: name in `limits.LIMITS`.
            interface: of the network, `can0` for a CAN adapter, `eth0` or `enx...` for EtherCAT-CAN.
            on_close: `damp` lets the arm sink slowly when it is released; `hold` leaves the motors as they are.
            hold_s: how long the arm is held before that.
            period_s: from one command to the next.
            torque_on_error_rad: joints may be this far from the first command; else the arm does not hold it.
            following_error_rad: with a joint this far from its last command the arm is let go.
            gravity_m_s2: gravity `(3,)` in the frame of the arm's base, which the SDK compensates.
            gripper_open_readout_rad: of the gripper's motor when it is open; 0: as the SDK has it for the model.
            gripper_width_m: the widest opening of the gripper; 0: as the SDK has it for the model.

        Raises `ValueError` for an unknown model, for `hold` with a model whose motors must not keep their torque, for a
        gravity that is not the Earth's, and for a following error that is allowed at the start.
        """
        self._stall_nm = limits_of(model).gripper_torque_max / 2.0  # beyond it the SDK does not move the gripper on
        if on_close == "hold" and model != "L5":
            raise ValueError(f"motors of the {model} must not be left with torque, only an L5's: use on_shutdown damp")
        if len(gravity_m_s2) != 3 or not 9.7 <= np.linalg.norm(gravity_m_s2) <= 9.9:
            raise ValueError(f"gravity_m_s2 needs 3 numbers, together 9.8 long, got {list(gravity_m_s2)}")
        if not torque_on_error_rad < following_error_rad:
            raise ValueError(f"following_error_rad {following_error_rad:g} is not above torque_on_error_rad")
        self._model = model
        self._interface = interface
        self._on_close = on_close
        self._hold_s = hold_s
        self._period_s = period_s
        self._torque_on_error_rad = torque_on_error_rad
        self._following_error_rad = following_error_rad
        self._gravity_m_s2 = np.array(gravity_m_s2)
        self._gripper_open_readout_rad = gripper_open_readout_rad
        self._gripper_width_m = gripper_width_m
        self._sdk: Any = None
        self._controller: Any = None
        self._commanded: ArmCommand | None = None  # what the arm holds; None: nothing, it is damped
        self._let_go_s = -math.inf
        self._clock_offset_s = 0.0
        self._gripper_rad_per_m = 0.0
        self._watch = MotorWatch()

    def connect(self) -> None:
        """Open the interface and read the motors; they are damped and carry the arm. Raises `ArmError`."""
        check_interface(self._interface)
        lock_interface(self._interface)
        with _errors(f"cannot connect to the {self._model} on '{self._interface}'"):
            self._sdk = import_sdk()
            robot, controller = self._configs()
            self._gripper_rad_per_m = float(robot.gripper_open_readout / robot.gripper_width)
            self._controller = self._sdk.Arx5JointController(robot, controller, self._interface)
            # The SDK counts seconds from the controller's construction.
            self._clock_offset_s = time.monotonic() - self._controller.get_timestamp()
        self._commanded = None
        self._let_go_s = -math.inf
        self._watch = MotorWatch()

    def read(self) -> ArmState:
        """Return the state that the SDK's thread received last. Raises `ArmError`."""
        with _errors("the SDK cannot be read"):
            state = self._state()
            self._check_following(state)
            return state

    def command(self, command: ArmCommand) -> None:
        """Replace the SDK's target; the first command also raises the gains."""
        with _errors("the SDK took no command"):
            controller = self._connected()
            state = self._state()
            self._check_following(state)
            if self._commanded is None:
                self._check_start(state, command)
                controller.set_joint_cmd(self._target(command))
                controller.set_gain(self._gain(holding=True))
            else:
                self._approach(command)
            self._commanded = command
            gripper_rad_s = command.gripper_velocity * self._gripper_rad_per_m
            stalled = abs(state.gripper_effort) > self._stall_nm
            self._watch.commanded(np.append(command.velocity, 0.0 if stalled else gripper_rad_s), time.monotonic())

    def close(self) -> None:
        """Hold the arm for a while, then damp it (2 s; it sinks) or leave it; then release the bus."""
        if self._controller is None:
            return
        if self._commanded is not None:
            time.sleep(self._hold_s)
        if self._on_close == "damp":
            try:
                self._controller.set_to_damping()
            except Exception:
                _logger.exception("the SDK failed to damp the arm, its destructor tries again")
        self._controller = None  # the SDK's destructor does the rest

    def _configs(self) -> tuple[Any, Any]:
        """Return the SDK's configurations of arm and controller, with the values that this arm was given."""
        robot = self._sdk.RobotConfigFactory.get_instance().get_config(self._model)
        robot.gravity_vector = self._gravity_m_s2
        if self._gripper_open_readout_rad:
            robot.gripper_open_readout = self._gripper_open_readout_rad
        if self._gripper_width_m:
            robot.gripper_width = self._gripper_width_m
        factory = self._sdk.ControllerConfigFactory.get_instance()
        controller = factory.get_config("joint_controller", robot.joint_dof)
        controller.shutdown_to_passive = self._on_close == "damp"
        return robot, controller

    def _state(self) -> ArmState:
        state = self._connected().get_joint_state()
        joints = np.array((state.pos(), state.vel(), state.torque()))
        gripper = float(state.gripper_pos), float(state.gripper_vel), float(state.gripper_torque)
        stamp_s = float(state.timestamp) + self._clock_offset_s
        return ArmState(
            self._watch.heard_s(np.column_stack((joints, gripper)).T, stamp_s, time.monotonic()),
            joints[0],
            joints[1],
            joints[2],
            *gripper,
        )

    def _check_start(self, state: ArmState, command: ArmCommand) -> None:
        if time.monotonic() - self._let_go_s < LET_GO_S:
            raise ArmError("the arm was let go a moment ago")
        error_rad = float(np.abs(state.position - command.position).max())
        if not error_rad <= self._torque_on_error_rad:
            raise ArmError(f"torque stays off: the first command is {error_rad:.2f} rad away from the arm")
        error_m = abs(state.gripper_width - command.gripper_width)
        if not error_m <= _GRIPPER_TORQUE_ON_M:
            raise ArmError(f"torque stays off: the first command is {error_m * 1e3:.0f} mm away from the gripper")

    def _check_following(self, state: ArmState) -> None:
        """Let the arm go if a joint is far from its command: the SDK would pull it there with full torque."""
        if self._commanded is None:
            return
        # A joint without a number is left to the controller's watchdog; it must not hide the others.
        error_rad = np.nan_to_num(np.abs(state.position - self._commanded.position), nan=0.0)
        joint = int(error_rad.argmax())
        if error_rad[joint] > self._following_error_rad:
            # Without kp the SDK's output is the measurement in the next cycle; to a new target it would only turn.
            self._connected().set_gain(self._gain(holding=False))
            commanded, self._commanded, self._let_go_s = self._commanded, None, time.monotonic()
            self._watch.commanded(np.zeros(MOTOR_COUNT), self._let_go_s)
            # The gripper keeps its grip.
            position = np.where(np.isfinite(state.position), state.position, commanded.position)
            here = ArmCommand(position, np.zeros_like(position), commanded.gripper_width)
            self._connected().set_joint_cmd(self._target(here))
            raise ArmError(
                f"joint{joint + 1} is at {state.position[joint]:.2f} rad, was commanded to "
                f"{commanded.position[joint]:.2f} rad: it is blocked, or its power was off; "
                "the arm was let go, and is damped and gravity-compensated"
            )

    def _approach(self, command: ArmCommand) -> None:
        """Have the SDK interpolate its 500 Hz output to a command over one period, instead of stepping to it."""
        target = self._target(command)
        target.timestamp = self._connected().get_timestamp() + self._period_s
        try:
            self._connected().set_joint_cmd(target)
        except (ValueError, RuntimeError):
            # This process was delayed until the stamp had passed.
            self._connected().set_joint_cmd(self._target(command))

    def _target(self, command: ArmCommand) -> Any:
        """Return a command in the SDK's form, due now: its stamp is 0.

        The first command must be due now: otherwise the SDK would interpolate from the pose at its construction.
        """
        target = self._sdk.JointState(
            command.position, command.velocity, np.zeros_like(command.position), command.gripper_width
        )
        target.gripper_vel = command.gripper_velocity
        return target

    def _gain(self, *, holding: bool) -> Any:
        config = self._connected().get_controller_config()
        kp = config.default_kp if holding else np.zeros_like(config.default_kp)
        return self._sdk.Gain(kp, config.default_kd, config.default_gripper_kp, config.default_gripper_kd)

    def _connected(self) -> Any:
        if self._controller is None:
            raise ArmError("the arm is not connected")
        return self._controller


@contextmanager
def _errors(what: str) -> Iterator[None]:
    """Turn whatever the SDK raises into an `ArmError`: the arm's process must go on and release the arm."""
    try:
        yield
    except ArmError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ArmError(f"{what}: {reason}") from error
