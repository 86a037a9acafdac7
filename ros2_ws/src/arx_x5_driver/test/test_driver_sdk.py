# SPDX-License-Identifier: Apache-2.0
"""The SDK's arm says clearly what is missing, calls the SDK that is installed as it is, and is careful with torque."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from arx_x5_driver.arm import ArmCommand, ArmError
from arx_x5_driver.arms import Arx5SdkArm, sdk
from arx_x5_driver.kinematics import SdkMissingError
from arx_x5_driver.limits import LIMITS

PACKAGE = Path(sdk.__file__).parents[1]


SOURCES = (PACKAGE / "arms/sdk.py").read_text() + (PACKAGE / "kinematics.py").read_text()


class Clock:
    now_s = 10.0

    def __call__(self) -> float:
        return self.now_s


def goal(angle: float, width: float = 0.05) -> ArmCommand:
    return ArmCommand(np.full(6, angle), np.zeros(6), width)


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
        self.robot, self.config, self.interface = arguments
        self.calls: list[tuple[str, Any]] = []
        self.module = module
        self.time_s = 0.1
        self.put(0.5)

    def put(self, angle: float, effort: float = 0.0) -> None:
        self.state = self.module.JointState(np.full(6, angle), np.zeros(6), np.full(6, effort), 0.03)

    def get_timestamp(self) -> float:
        return self.time_s

    def get_joint_state(self) -> Any:
        self.state.timestamp = self.time_s
        return self.state

    def get_controller_config(self) -> Any:
        return self.config

    def set_joint_cmd(self, command: Any) -> None:
        self.calls.append(("set_joint_cmd", command))

    def set_gain(self, gain: Any) -> None:
        self.calls.append(("set_gain", gain))

    def set_to_damping(self) -> None:
        self.calls.append(("set_to_damping", None))


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Arx5SdkArm]:
    """Make an arm on a fake controller; all other classes are the SDK's own."""
    module = pytest.importorskip("arx5_interface")
    names = ("JointState", "Gain", "RobotConfigFactory", "ControllerConfigFactory")
    fake = SimpleNamespace(**{name: getattr(module, name) for name in names})
    fake.Arx5JointController = partial(FakeController, module)
    monkeypatch.setattr(sdk, "import_sdk", lambda: fake)

    def make(model: str = "X5_umi", **options: Any) -> Arx5SdkArm:
        arm = Arx5SdkArm(model, "lo", **options)
        arm.connect()
        return arm

    return make


def names_of_calls(arm: Arx5SdkArm) -> list[str]:
    return [name for name, _ in arm._controller.calls]


def test_sdk_arm_raises_gains_with_the_first_command_only(connect: Callable[..., Arx5SdkArm]) -> None:
    arm = connect()
    controller = arm._controller
    np.testing.assert_allclose(arm.read().position, 0.5)
    assert arm.read().gripper_width == 0.03
    arm.command(goal(0.51))
    arm.command(replace(goal(0.52), gripper_velocity=0.2))
    assert names_of_calls(arm) == ["set_joint_cmd", "set_gain", "set_joint_cmd"]
    np.testing.assert_allclose(controller.calls[0][1].pos(), 0.51)
    assert controller.calls[0][1].timestamp == 0.0
    np.testing.assert_allclose(controller.calls[1][1].kp(), [80.0, 70.0, 70.0, 30.0, 30.0, 20.0])
    assert (controller.calls[2][1].gripper_pos, controller.calls[2][1].gripper_vel) == (0.05, 0.2)


@pytest.mark.parametrize(("options", "allowed_rad"), [({}, 0.1), ({"torque_on_error_rad": 0.02}, 0.02)])
def test_sdk_arm_gives_no_torque_far_from_the_arm(
    connect: Callable[..., Arx5SdkArm], options: dict[str, float], allowed_rad: float
) -> None:
    arm = connect(**options)
    with pytest.raises(ArmError, match="torque stays off: the first command is 0.30 rad away"):
        arm.command(goal(0.8))
    for angle in (0.5 + 1.1 * allowed_rad, 0.5 - 1.1 * allowed_rad, np.nan):
        with pytest.raises(ArmError, match="torque stays off"):
            arm.command(goal(angle))
    assert names_of_calls(arm) == []
    arm.command(goal(0.5 + 0.9 * allowed_rad))
    assert names_of_calls(arm) == ["set_joint_cmd", "set_gain"]


def test_sdk_arm_holds_then_damps_when_it_is_released(connect: Callable[..., Arx5SdkArm]) -> None:
    arm = connect(hold_s=0.1)
    controller = arm._controller
    arm.command(goal(0.5))
    began_s = time.monotonic()
    arm.close()
    arm.close()
    assert time.monotonic() - began_s >= 0.1
    assert controller.config.shutdown_to_passive
    assert [name for name, _ in controller.calls][2:] == ["set_to_damping"]


def test_sdk_arm_without_torque_has_nothing_to_hold(connect: Callable[..., Arx5SdkArm]) -> None:
    arm = connect(hold_s=60.0)
    controller = arm._controller
    arm.close()
    assert [name for name, _ in controller.calls] == ["set_to_damping"]


def test_only_an_l5_may_be_left_with_torque(connect: Callable[..., Arx5SdkArm]) -> None:
    arm = connect("L5", on_close="hold")
    controller = arm._controller
    arm.command(goal(0.5))
    arm.close()
    assert not controller.config.shutdown_to_passive
    assert "set_to_damping" not in [name for name, _ in controller.calls]
    for model in ("X5", "X5_umi"):
        with pytest.raises(ValueError, match=f"motors of the {model} must not be left with torque"):
            Arx5SdkArm(model, "can0", on_close="hold")


def test_sdk_arm_takes_another_gripper(connect: Callable[..., Arx5SdkArm]) -> None:
    robot = connect(gripper_open_readout_rad=-3.4, gripper_width_m=0.082)._controller.robot
    assert (robot.gripper_open_readout, robot.gripper_width) == (-3.4, 0.082)
    robot = connect()._controller.robot
    assert (robot.robot_model, robot.gripper_open_readout, robot.gripper_width) == ("X5_umi", 4.9, 0.086)


def test_a_bus_that_is_dead_while_the_sdk_goes_on_shows_in_the_stamp(
    connect: Callable[..., Arx5SdkArm], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK stamps its state in every cycle, whether or not a motor has answered."""
    clock = Clock()
    monkeypatch.setattr(sdk.time, "monotonic", clock)
    arm = connect()

    def stamps(speed: float, answers: bool, periods: int = 40) -> list[float]:
        found = []
        for _ in range(periods):
            clock.now_s += 0.005
            arm._controller.time_s += 0.005
            if answers:
                arm._controller.put(0.5, effort=clock.now_s)
            arm.command(replace(goal(0.5), velocity=np.full(6, speed)))
            found.append(arm.read().stamp_s)
        return found

    assert len(set(stamps(speed=0.0, answers=False))) == 40
    assert len(set(stamps(speed=0.3, answers=True))) == 40
    last_s = clock.now_s
    dead = stamps(speed=0.3, answers=False)
    assert max(dead) == dead[-1] == pytest.approx(last_s)
    assert len(set(stamps(speed=0.3, answers=True))) == 40


def test_interfaces_that_are_missing_or_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "_NETWORK_INTERFACES", tmp_path)
    for name in ("can0", "eth7"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "flags").write_text("0x1002\n")
    for name, message in {
        "can0": "the interface 'can0' is down: `sudo ip link set can0 up type can bitrate 1000000`",
        "eth7": "the interface 'eth7' is down: `sudo ip link set eth7 up`",
        "can1": "there is no CAN interface 'can1': plug in the adapter, then `sudo ip link set can1 up type can",
        "enx1": "there is no network interface 'enx1': plug in the adapter, then `sudo ip link set enx1 up`",
    }.items():
        with pytest.raises(ArmError) as error:
            Arx5SdkArm("X5_umi", name).connect()
        assert str(error.value).startswith(message)


SIGNATURES = {
    "Arx5JointController": {
        "__init__": "(arg0: RobotConfig, arg1: ControllerConfig, arg2: str) -> None",
        "get_timestamp": "() -> float",
        "get_joint_state": "() -> JointState",
        "get_controller_config": "() -> ControllerConfig",
        "set_joint_cmd": "(arg0: JointState) -> None",
        "set_gain": "(arg0: Gain) -> None",
        "set_to_damping": "() -> None",
    },
    "RobotConfigFactory": {"get_instance": "() -> RobotConfigFactory", "get_config": "(arg0: str) -> RobotConfig"},
    "ControllerConfigFactory": {
        "get_instance": "() -> ControllerConfigFactory",
        "get_config": "(arg0: str, arg1: int) -> ControllerConfig",
    },
    "JointState": {
        "__init__": "(arg0: array, arg1: array, arg2: array, arg3: float) -> None",
        "pos": "() -> array",
        "vel": "() -> array",
        "torque": "() -> array",
    },
    "Gain": {"__init__": "(arg0: array, arg1: array, arg2: float, arg3: float) -> None"},
    "Arx5Solver": {
        "__init__": "(arg0: str, arg1: int, arg2: array, arg3: array, arg4: str, arg5: str, arg6: array) -> None",
        "forward_kinematics": "(arg0: array) -> array",
        "inverse_kinematics": "(arg0: array, arg1: array) -> tuple[int, array]",
    },
}


ATTRIBUTES = {
    "JointState": ["timestamp", "gripper_pos", "gripper_vel", "gripper_torque"],
    "RobotConfig": [
        "joint_dof", "urdf_path", "joint_pos_min", "joint_pos_max", "base_link_name", "eef_link_name",
        "gravity_vector", "gripper_open_readout", "gripper_width",
    ],
    "ControllerConfig": [
        "default_kp", "default_kd", "default_gripper_kp", "default_gripper_kd", "shutdown_to_passive",
    ],
}  # fmt: skip


def plain(signature: str) -> str:
    """A pybind signature without the object itself, module names, and what its versions call numbers and arrays."""
    for pattern, replacement in (
        (r"typing\.Annotated\[numpy\.typing\.(ArrayLike|NDArray\[numpy\.float64\]).*?\"\]", "array"),
        (r"numpy\.ndarray\[.*?\]\]?", "array"),
        (r"typing\.SupportsInt( \| typing\.SupportsIndex)?", "int"),
        (r"typing\.SupportsFloat( \| typing\.SupportsIndex)?", "float"),
        (r"(\w+(\.|::))+", ""),
        (r"self: \w+(, )?", ""),
    ):
        signature = re.sub(pattern, replacement, signature)
    return signature


@pytest.mark.parametrize(("name", "method"), [(name, method) for name in SIGNATURES for method in SIGNATURES[name]])
def test_sdk_has_what_is_called(name: str, method: str) -> None:
    """With this signature, in the SDK that is installed."""
    module = pytest.importorskip("arx5_interface")
    lines = getattr(getattr(module, name), method).__doc__.splitlines()
    found = {plain(line[line.index("(") :]) for line in lines if f"{method}(" in line}
    assert SIGNATURES[name][method] in found


@pytest.mark.parametrize("model", LIMITS)
def test_sdk_configs_have_what_is_used(model: str) -> None:
    module = pytest.importorskip("arx5_interface")
    robot = module.RobotConfigFactory.get_instance().get_config(model)
    controller = module.ControllerConfigFactory.get_instance().get_config("joint_controller", robot.joint_dof)
    examples = {"RobotConfig": robot, "ControllerConfig": controller, "JointState": module.JointState(6)}
    for name, attributes in ATTRIBUTES.items():
        for attribute in attributes:
            assert hasattr(examples[name], attribute), (name, attribute)
    assert robot.joint_dof == 6
    assert Path(robot.urdf_path).is_file()
    assert controller.default_kp.shape == controller.default_kd.shape == (6,)
    assert (controller.default_kp > 0.0).all()


def test_nothing_else_of_the_sdk_is_used() -> None:
    """The lists above are complete: the fake has only what the real class has, and the sources use no more."""
    used = set(re.findall(r"(?:_sdk|sdk|_controller|controller|robot|config|state|target|_solver)\.(\w+)", SOURCES))
    known = {name for methods in SIGNATURES.values() for name in methods}
    known |= {name for attributes in ATTRIBUTES.values() for name in attributes}
    assert used - known - set(SIGNATURES) == set()
    assert {name for name in vars(FakeController) if name.startswith(("get_", "set_"))} <= known
