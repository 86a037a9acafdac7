# SPDX-License-Identifier: Apache-2.0
"""The SDK's arm says clearly what is missing, makes an error of all that fails, and is careful with torque."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from arx_x5_driver.arm import ArmCommand, ArmError
from arx_x5_driver.arms import Arx5SdkArm, sdk
from arx_x5_driver.geometry.kinematics import SdkMissingError


class Clock:
    now_s = 10.0

    def __call__(self) -> float:
        return self.now_s


KP = [80.0, 70.0, 70.0, 30.0, 30.0, 20.0]


def goal(angle: Any, width: float = 0.05) -> ArmCommand:
    return ArmCommand(np.full(6, angle), np.zeros(6), width)


@pytest.fixture(autouse=True)
def unlocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that run at the same time in other processes use the same interfaces."""
    monkeypatch.setattr(sdk, "lock_interface", lambda name: None)


def test_sdk_arm_without_a_can_interface() -> None:
    arm = Arx5SdkArm("X5_umi", "can77")
    with pytest.raises(ArmError, match="there is no CAN interface 'can77'.*ip link set can77 up") as error:
        arm.connect()
    assert "\n" not in str(error.value)
    with pytest.raises(ArmError, match="not connected"):
        arm.read()
    arm.close()


def test_sdk_arm_on_an_interface_that_is_no_can_bus() -> None:
    """The real SDK refuses; what it says is handed on."""
    pytest.importorskip("arx5_interface")
    with pytest.raises(ArmError, match="cannot connect to the X5_umi on 'lo'"):
        Arx5SdkArm("X5_umi", "lo").connect()


def test_sdk_arm_without_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise SdkMissingError("the ARX SDK is missing: pip install arx5-interface")

    monkeypatch.setattr(sdk, "import_sdk", missing)
    with pytest.raises(ArmError, match="pip install arx5-interface"):
        Arx5SdkArm("X5", "lo").connect()


def test_unknown_model() -> None:
    with pytest.raises(ValueError, match="unknown arm model 'X9'"):
        Arx5SdkArm("X9", "can0")


class FakeController:
    """Stands for Arx5JointController; records what it is told."""

    def __init__(self, module: Any, *arguments: Any) -> None:
        self.robot, self.config, _ = arguments
        self.calls: list[tuple[str, Any]] = []
        self.module = module
        self.time_s = 0.1
        self.delay_s = 0.0
        self.put(0.5)

    def put(self, angle: Any, effort: Any = 0.0, width: float = 0.05, gripper_effort: float = 0.0) -> None:
        self.state = self.module.JointState(np.full(6, angle), np.zeros(6), np.full(6, effort), width)
        self.state.gripper_torque = gripper_effort

    def get_timestamp(self) -> float:
        stamp_s, self.time_s = self.time_s, self.time_s + self.delay_s
        return stamp_s

    def get_joint_state(self) -> Any:
        self.state.timestamp = self.time_s
        return self.state

    def get_controller_config(self) -> Any:
        return self.config

    def set_joint_cmd(self, command: Any) -> None:
        if 0.0 < command.timestamp <= self.time_s:
            raise ValueError("End time must be no less than current time")
        self.calls.append(("set_joint_cmd", command))

    def set_gain(self, gain: Any) -> None:
        self.calls.append(("set_gain", gain))

    def set_to_damping(self) -> None:
        self.calls.append(("set_to_damping", None))


class Connect:
    """Makes arms on fake controllers, of which it keeps the newest; all other classes are the SDK's own."""

    controller: FakeController

    def __init__(self, module: Any) -> None:
        self._module = module
        names = ("JointState", "Gain", "RobotConfigFactory", "ControllerConfigFactory")
        self.sdk = SimpleNamespace(**{name: getattr(module, name) for name in names}, Arx5JointController=self.fake)

    def __call__(self, model: str = "X5_umi", **options: Any) -> Arx5SdkArm:
        arm = Arx5SdkArm(model, "lo", **options)
        arm.connect()
        return arm

    def fake(self, *arguments: Any) -> FakeController:
        self.controller = FakeController(self._module, *arguments)
        return self.controller

    def names_of_calls(self) -> list[str]:
        return [name for name, _ in self.controller.calls]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    made = Connect(pytest.importorskip("arx5_interface"))
    monkeypatch.setattr(sdk, "import_sdk", lambda: made.sdk)
    return made


def test_sdk_arm_raises_gains_with_the_first_command_only(connect: Connect) -> None:
    arm = connect()
    controller = connect.controller
    np.testing.assert_allclose(arm.read().position, 0.5)
    assert arm.read().gripper_width == 0.05
    arm.command(goal(0.51))
    arm.command(replace(goal(0.52), gripper_velocity=0.2))
    assert connect.names_of_calls() == ["set_joint_cmd", "set_gain", "set_joint_cmd"]
    np.testing.assert_allclose(controller.calls[0][1].pos(), 0.51)
    assert controller.calls[0][1].timestamp == 0.0
    np.testing.assert_allclose(controller.calls[1][1].kp(), KP)
    assert (controller.calls[2][1].gripper_pos, controller.calls[2][1].gripper_vel) == (0.05, 0.2)


def test_later_commands_are_for_the_end_of_their_period(connect: Connect) -> None:
    """The SDK then turns to them in even steps of 2 ms; a stamp that is over it would refuse."""
    arm = connect(period_s=0.004)
    controller = connect.controller
    for angle in (0.51, 0.52):
        arm.command(goal(angle))
    controller.delay_s = 0.1
    arm.command(goal(0.53))
    commands = [argument for name, argument in controller.calls if name == "set_joint_cmd"]
    assert [command.timestamp for command in commands] == [0.0, pytest.approx(0.104), 0.0]
    np.testing.assert_allclose([command.pos()[0] for command in commands], [0.51, 0.52, 0.53])


@pytest.mark.parametrize(("options", "allowed_rad"), [({}, 0.1), ({"torque_on_error_rad": 0.02}, 0.02)])
def test_sdk_arm_gives_no_torque_far_from_the_arm(
    connect: Connect, options: dict[str, float], allowed_rad: float
) -> None:
    arm = connect(**options)
    with pytest.raises(ArmError, match="torque stays off: the first command is 0.30 rad away"):
        arm.command(goal(0.8))
    for angle in (0.5 + 1.1 * allowed_rad, 0.5 - 1.1 * allowed_rad, np.nan):
        with pytest.raises(ArmError, match="torque stays off"):
            arm.command(goal(angle))
    for width in (0.03, 0.07, np.nan):
        with pytest.raises(ArmError, match="torque stays off: .* mm away from the gripper"):
            arm.command(goal(0.5, width))
    assert connect.names_of_calls() == []
    arm.command(goal(0.5 + 0.9 * allowed_rad, 0.045))
    assert connect.names_of_calls() == ["set_joint_cmd", "set_gain"]


AWAY = np.array([0.5, 0.9, 0.5, 0.5, 0.5, 0.5])


@pytest.mark.parametrize("find", [lambda arm: arm.read(), lambda arm: arm.command(goal(0.5))], ids=["read", "command"])
def test_an_arm_that_is_not_where_it_shall_be_is_let_go(
    connect: Connect,
    find: Callable[[Arx5SdkArm], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It fell without power, or something is in its way: the SDK would go on pulling."""
    arm = connect()
    controller = connect.controller
    arm.command(goal(0.5))
    controller.put(AWAY)
    controller.calls.clear()
    with pytest.raises(ArmError, match=r"joint2 is at 0\.90 rad, was commanded to 0\.50 rad.*let go") as error:
        find(arm)
    assert "\n" not in str(error.value)
    (first, gain), (second, here) = controller.calls
    assert (first, second) == ("set_gain", "set_joint_cmd")
    np.testing.assert_array_equal(gain.kp(), 0.0)
    np.testing.assert_allclose(gain.kd(), controller.config.default_kd)
    assert gain.gripper_kp == 5.0  # what it holds does not fall
    np.testing.assert_allclose(here.pos(), AWAY)
    np.testing.assert_array_equal(here.vel(), 0.0)
    assert (here.timestamp, here.gripper_pos) == (0.0, 0.05)

    # What was still on its way does not grip it again; then everything is as before the first command.
    np.testing.assert_allclose(arm.read().position, AWAY)
    with pytest.raises(ArmError, match="the arm was let go a moment ago"):
        arm.command(goal(AWAY))
    monkeypatch.setattr(sdk, "LET_GO_S", 0.0)
    with pytest.raises(ArmError, match=r"torque stays off: the first command is 0\.40 rad away"):
        arm.command(goal(0.5))
    controller.calls.clear()
    arm.command(goal(AWAY))
    assert connect.names_of_calls() == ["set_joint_cmd", "set_gain"]
    np.testing.assert_allclose(controller.calls[1][1].kp(), KP)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_joint_without_a_number_does_not_hide_the_others(connect: Connect, odd: float) -> None:
    arm = connect()
    arm.command(goal(0.5))
    connect.controller.put([odd, 2.5, 0.5, 0.5, 0.5, 0.5])
    with pytest.raises(ArmError, match="was commanded to .*let go"):
        arm.read()
    (_, gain), (_, here) = connect.controller.calls[-2:]
    np.testing.assert_array_equal(gain.kp(), 0.0)
    np.testing.assert_allclose(here.pos(), [0.5, 2.5, 0.5, 0.5, 0.5, 0.5])


def test_one_measurement_without_a_number_does_not_let_the_arm_go(connect: Connect) -> None:
    arm = connect()
    arm.command(goal(0.5))
    connect.controller.put([np.nan, 0.6, 0.5, 0.5, 0.5, 0.5])
    arm.read()
    connect.controller.put(0.5)
    arm.command(goal(0.5))
    assert connect.names_of_calls() == ["set_joint_cmd", "set_gain", "set_joint_cmd"]


def test_an_arm_may_lag_by_less(connect: Connect) -> None:
    for options, limit_rad in (({}, 0.3), ({"following_error_rad": 0.15}, 0.15)):
        arm = connect(**options)
        arm.command(goal(0.5))
        connect.controller.put(0.5 - 0.95 * limit_rad)
        arm.read()
        connect.controller.put(0.5 - 1.05 * limit_rad)
        with pytest.raises(ArmError, match="joint1"):
            arm.read()


def test_sdk_arm_holds_then_damps_when_it_is_released(connect: Connect) -> None:
    arm = connect(hold_s=0.1)
    controller = connect.controller
    arm.command(goal(0.5))
    began_s = time.monotonic()
    arm.close()
    arm.close()
    assert time.monotonic() - began_s >= 0.1
    assert controller.config.shutdown_to_passive
    assert [name for name, _ in controller.calls][2:] == ["set_to_damping"]


def test_sdk_arm_without_torque_has_nothing_to_hold(connect: Connect) -> None:
    arm = connect(hold_s=60.0)
    controller = connect.controller
    arm.close()
    assert [name for name, _ in controller.calls] == ["set_to_damping"]


def test_only_an_l5_may_be_left_with_torque(connect: Connect) -> None:
    arm = connect("L5", on_close="hold")
    controller = connect.controller
    arm.command(goal(0.5))
    arm.close()
    assert not controller.config.shutdown_to_passive
    assert "set_to_damping" not in [name for name, _ in controller.calls]
    for model in ("X5", "X5_umi"):
        with pytest.raises(ValueError, match=f"motors of the {model} must not be left with torque"):
            Arx5SdkArm(model, "can0", on_close="hold")


def test_sdk_arm_takes_another_gripper(connect: Connect) -> None:
    connect(gripper_open_readout_rad=-3.4, gripper_width_m=0.082)
    robot = connect.controller.robot
    assert (robot.gripper_open_readout, robot.gripper_width) == (-3.4, 0.082)
    connect()
    robot = connect.controller.robot
    assert (robot.robot_model, robot.gripper_open_readout, robot.gripper_width) == ("X5_umi", 4.9, 0.086)


def test_a_bus_that_is_dead_while_the_sdk_goes_on_shows_in_the_stamp(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK stamps its state in every cycle, whether or not a motor has answered."""
    clock = Clock()
    monkeypatch.setattr(sdk.time, "monotonic", clock)
    arm = connect()

    def stamps(speed: float, answers: bool, periods: int = 40) -> list[float]:
        found = []
        for _ in range(periods):
            clock.now_s += 0.005
            connect.controller.time_s += 0.005
            if answers:
                connect.controller.put(0.5, effort=clock.now_s)
            arm.command(replace(goal(0.5), velocity=np.full(6, speed)))
            found.append(arm.read().stamp_s)
        return found

    assert len(set(stamps(speed=0.0, answers=False))) == 40
    assert len(set(stamps(speed=0.3, answers=True))) == 40
    last_s = clock.now_s
    dead = stamps(speed=0.3, answers=False)
    assert max(dead) == dead[-1] == pytest.approx(last_s)
    assert len(set(stamps(speed=0.3, answers=True))) == 40


@pytest.mark.parametrize("dead", range(7))
def test_one_dead_motor_shows_in_the_stamp_when_it_shall_move(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, dead: int
) -> None:
    clock = Clock()
    monkeypatch.setattr(sdk.time, "monotonic", clock)
    arm = connect()

    def stamps(speeds: Any, gripper_effort: float = 0.0) -> list[float]:
        """Commanded at these speeds, 7 in rad/s, while all motors but one answer."""
        found = []
        for _ in range(40):
            clock.now_s += 0.005
            connect.controller.time_s += 0.005
            changing = np.where(np.arange(7) == dead, gripper_effort, clock.now_s / 100.0)
            connect.controller.put(0.5, effort=changing[:6], gripper_effort=changing[6])
            gripper_m_s = speeds[6] * 0.086 / 4.9
            arm.command(replace(goal(0.5), velocity=np.array(speeds[:6]), gripper_velocity=gripper_m_s))
            found.append(arm.read().stamp_s)
        return found

    alone = np.where(np.arange(7) == dead, 0.12, 0.0)
    assert len(set(stamps(0.3 - 3.0 * alone + 0.05 * (alone > 0.0)))) == 40  # all others move
    assert len(set(stamps(np.zeros(7)))) == 40
    silent = stamps(alone)
    assert silent == sorted(silent)
    assert len(set(silent[12:])) == 1  # after 50 ms, in which friction may hold it
    assert silent[-1] < clock.now_s - 0.14
    if dead == 6:
        # Beyond half its torque the SDK does not close a gripper any further: it has something in it.
        assert len(set(stamps(alone, gripper_effort=0.8))) == 40


@pytest.mark.parametrize("error", [RuntimeError("two\nlines"), ValueError("two lines"), KeyError("two lines")])
def test_whatever_the_sdk_raises_is_an_error_of_the_arm(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    def broken(method: str, commands: int = 0) -> Arx5SdkArm:
        arm = connect()
        for _ in range(commands):
            arm.command(goal(0.5))
        setattr(connect.controller, method, fail)
        return arm

    with pytest.raises(ArmError, match="cannot be read: .*two lines"):
        broken("get_joint_state").read()
    for method, commands in (("get_joint_state", 0), ("set_joint_cmd", 0), ("set_gain", 0), ("set_joint_cmd", 1)):
        with pytest.raises(ArmError, match="the SDK took no command: .*two lines"):
            broken(method, commands).command(goal(0.5))
    broken("set_to_damping").close()
    monkeypatch.setattr(FakeController, "get_timestamp", fail)
    with pytest.raises(ArmError, match="cannot connect to the X5_umi on 'lo': .*two lines"):
        connect()


def test_gravity_is_of_a_level_base_unless_told_otherwise(connect: Connect) -> None:
    connect()
    np.testing.assert_array_equal(connect.controller.robot.gravity_vector, [0.0, 0.0, -9.807])
    connect(gravity_m_s2=[0.0, 0.0, 9.807])
    hanging = connect.controller.robot
    np.testing.assert_array_equal(hanging.gravity_vector, [0.0, 0.0, 9.807])
    for wrong in ([0.0, -9.807], [0.0, 0.0, -1.0], [0.0, 0.0, np.nan]):
        with pytest.raises(ValueError, match="gravity_m_s2 needs 3 numbers, together 9.8 long"):
            Arx5SdkArm("X5", "can0", gravity_m_s2=wrong)


def test_the_sdk_gives_torque_from_the_start() -> None:
    """What documents say of the motors before the first command."""
    module = pytest.importorskip("arx5_interface")
    assert module.ControllerConfigFactory.get_instance().get_config("joint_controller", 6).gravity_compensation


def test_an_interface_that_another_process_drives_is_left_alone(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(name: str) -> None:
        raise ArmError(f"{name} is in use")

    monkeypatch.setattr(sdk, "lock_interface", locked)
    with pytest.raises(ArmError, match="lo is in use"):
        connect()
    assert not hasattr(connect, "controller"), "the SDK was asked for a controller"


def test_the_fake_has_only_what_the_real_controller_has() -> None:
    real = pytest.importorskip("arx5_interface").Arx5JointController
    faked = {name for name in vars(FakeController) if name.startswith(("get_", "set_"))}
    assert len(faked) == 6
    assert all(hasattr(real, name) for name in faked)
