# SPDX-License-Identifier: Apache-2.0
"""The loopback arm lags as told; the SDK's arm says clearly what is missing, and calls the SDK as it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from arx_x5_driver.arm import ArmCommand, ArmError
from arx_x5_driver.arms import Arx5SdkArm, LoopbackArm, sdk
from arx_x5_driver.kinematics import SdkMissingError


class Clock:
    now_s = 10.0

    def __call__(self) -> float:
        return self.now_s


def goal(angle: float, width: float = 0.05) -> ArmCommand:
    return ArmCommand(np.full(6, angle), np.zeros(6), width)


def test_loopback_lags_behind_its_commands() -> None:
    clock = Clock()
    arm = LoopbackArm(np.zeros(6), gripper_width=0.0, lag_s=0.1, clock=clock)
    arm.connect()
    arm.command(goal(1.0))
    clock.now_s += 0.1
    state = arm.read()
    np.testing.assert_allclose(state.position, 1.0 - np.exp(-1.0))
    assert state.gripper_width == pytest.approx(0.05 * (1.0 - np.exp(-1.0)))
    assert state.stamp_s == clock.now_s
    assert (state.velocity > 0.0).all()
    clock.now_s += 2.0
    np.testing.assert_allclose(arm.read().position, 1.0, atol=1e-6)
    arm.close()


def test_loopback_without_lag_is_an_echo() -> None:
    clock = Clock()
    arm = LoopbackArm(lag_s=0.0, clock=clock)
    arm.command(goal(0.3))
    clock.now_s += 0.005
    np.testing.assert_allclose(arm.read().position, 0.3)


def test_loopback_takes_no_part_in_reading() -> None:
    """However often it is read, it is where it would be."""
    positions = []
    for reads in (1, 50):
        clock = Clock()
        arm = LoopbackArm(lag_s=0.05, clock=clock)
        arm.command(goal(1.0))
        for _ in range(reads):
            clock.now_s += 0.1 / reads
            state = arm.read()
        positions.append(state.position[0])
    assert positions[0] == pytest.approx(positions[1])


def test_sdk_arm_without_a_can_interface() -> None:
    arm = Arx5SdkArm("X5_umi", "nosuchcan")
    with pytest.raises(ArmError, match="there is no CAN interface 'nosuchcan'.*ip link set nosuchcan up") as error:
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

    def __init__(self, module: Any, model: str, interface: str) -> None:
        self.calls: list[tuple[str, Any]] = [("init", (model, interface))]
        self.state = module.JointState(np.full(6, 0.5), np.zeros(6), np.zeros(6), 0.03)
        self.module = module

    def get_timestamp(self) -> float:
        return 0.1

    def get_joint_state(self) -> Any:
        return self.state

    def get_controller_config(self) -> Any:
        return self.module.ControllerConfigFactory.get_instance().get_config("joint_controller", 6)

    def set_joint_cmd(self, command: Any) -> None:
        self.calls.append(("set_joint_cmd", command))

    def set_gain(self, gain: Any) -> None:
        self.calls.append(("set_gain", gain))

    def set_to_damping(self) -> None:
        self.calls.append(("set_to_damping", None))


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Arx5SdkArm:
    """On a fake controller; all other classes are the SDK's own."""
    module = pytest.importorskip("arx5_interface")
    fake = SimpleNamespace(
        JointState=module.JointState,
        Gain=module.Gain,
        Arx5JointController=lambda model, interface: FakeController(module, model, interface),
    )
    monkeypatch.setattr(sdk, "import_sdk", lambda: fake)
    arm = Arx5SdkArm("X5_umi", "lo")
    arm.connect()
    return arm


def test_sdk_arm_raises_gains_with_the_first_command_only(connected: Arx5SdkArm) -> None:
    controller = connected._controller
    np.testing.assert_allclose(connected.read().position, 0.5)
    assert connected.read().gripper_width == 0.03
    connected.command(goal(0.51))
    connected.command(goal(0.52))
    assert [name for name, _ in controller.calls] == ["init", "set_joint_cmd", "set_gain", "set_joint_cmd"]
    np.testing.assert_allclose(controller.calls[1][1].pos(), 0.51)
    assert controller.calls[1][1].timestamp == 0.0
    np.testing.assert_allclose(controller.calls[2][1].kp(), [80.0, 70.0, 70.0, 30.0, 30.0, 20.0])
    connected.close()
    connected.close()
    assert controller.calls[-1][0] == "set_to_damping"


def test_sdk_arm_gives_no_torque_far_from_the_arm(connected: Arx5SdkArm) -> None:
    controller = connected._controller
    with pytest.raises(ArmError, match="torque stays off: the first command is 0.30 rad away"):
        connected.command(goal(0.8))
    assert [name for name, _ in controller.calls] == ["init"]


def test_sdk_names_exist() -> None:
    """The fake above has only what the real classes have."""
    module = pytest.importorskip("arx5_interface")
    for name in vars(FakeController):
        if not name.startswith("__"):
            assert hasattr(module.Arx5JointController, name)
