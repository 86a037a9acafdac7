# SPDX-License-Identifier: Apache-2.0
"""The loop on a loopback arm in real time: threads, faults of the arm, timing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from arx_x5_driver.arm import ArmCommand, ArmError, ArmState
from arx_x5_driver.arms import LoopbackArm
from arx_x5_driver.chunk import ChunkRejectedError
from arx_x5_driver.controller import Controller
from arx_x5_driver.kinematics import SdkKinematics
from arx_x5_driver.parameters import DriverParameters
from arx_x5_driver.runtime import Runtime
from arx_x5_driver.se3 import Pose
from arx_x5_driver.state import State

START = np.array([0.0, 1.2, 1.3, 0.6, 0.0, 0.0])


class FragileArm(LoopbackArm):
    """Fails or hangs when told to."""

    broken = ""
    hang_s = 0.0

    def read(self) -> ArmState:
        if self.broken == "read":
            raise ArmError("no answer")
        time.sleep(self.hang_s)
        return super().read()

    def command(self, command: ArmCommand) -> None:
        if self.broken == "command":
            raise ArmError("no bus")
        super().command(command)


@pytest.fixture
def arm() -> FragileArm:
    return FragileArm(START, gripper_width=0.04)


@pytest.fixture
def sent() -> list[ArmCommand | None]:
    return []


@pytest.fixture
def runtime(arm: FragileArm, sent: list[ArmCommand | None], sdk_kinematics: SdkKinematics) -> Iterator[Runtime]:
    controller = Controller(DriverParameters().controller_config(), sdk_kinematics)

    def observe(_measured: ArmState, _pose: Pose, command: ArmCommand | None) -> None:
        sent.append(command)

    runtime = Runtime(arm, controller, sdk_kinematics, 0.005, observe)
    runtime.start()
    yield runtime
    arm.broken, arm.hang_s = "", 0.0
    runtime.stop()


def wait_for(condition: Callable[[], bool], timeout_s: float = 3.0) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.005)
    return True


def state(runtime: Runtime) -> State:
    return runtime.watch()[0].state


def test_a_chunk_is_executed_and_then_held(
    runtime: Runtime, arm: FragileArm, sdk_kinematics: SdkKinematics, make_chunk: Any
) -> None:
    runtime.enable()
    chunk = make_chunk(time.monotonic(), sdk_kinematics.forward(START))
    runtime.offer(chunk, time.monotonic())
    assert state(runtime) is State.ACTIVE
    assert wait_for(lambda: state(runtime) is State.HOLDING)
    assert chunk.times_s[-1] <= time.monotonic() < chunk.times_s[-1] + 0.3
    pose = sdk_kinematics.forward(arm.read().position)
    assert np.linalg.norm(pose.position - chunk.positions[-1]) < 3e-3
    snapshot, statistics = runtime.watch()
    assert snapshot.steps_executed + snapshot.steps_dropped == 16
    assert 0.0 < statistics.work_p50_s < 0.005


def test_halt_returns_when_nothing_more_is_sent(
    runtime: Runtime, sent: list[ArmCommand | None], sdk_kinematics: SdkKinematics, make_chunk: Any
) -> None:
    runtime.enable()
    runtime.offer(make_chunk(time.monotonic(), sdk_kinematics.forward(START)), time.monotonic())
    time.sleep(0.4)
    runtime.halt("test")
    time.sleep(0.02)
    count = len(sent)
    assert wait_for(lambda: len(sent) > count + 10)
    assert set(sent[count:]) == {None}
    with pytest.raises(ChunkRejectedError):
        runtime.offer(make_chunk(time.monotonic(), sequence=2), time.monotonic())


@pytest.mark.parametrize("broken", ["read", "command"])
def test_a_failing_arm_is_a_fault_and_recovers_by_enable(runtime: Runtime, arm: FragileArm, broken: str) -> None:
    runtime.enable()
    arm.broken = broken
    assert wait_for(lambda: state(runtime) is State.FAULT)
    assert "no answer" in runtime.watch()[0].reason or "no bus" in runtime.watch()[0].reason
    arm.broken = ""
    time.sleep(0.05)
    runtime.enable()
    assert state(runtime) is State.HOLDING


def test_a_hanging_arm_is_a_fault(runtime: Runtime, arm: FragileArm) -> None:
    runtime.enable()
    arm.hang_s = 1.0
    assert wait_for(lambda: state(runtime) is State.FAULT, timeout_s=0.9)
    assert "stuck" in runtime.watch()[0].reason


def test_a_bug_in_the_loop_is_not_swallowed(runtime: Runtime, arm: FragileArm) -> None:
    runtime.enable()
    arm._goal = np.zeros(3)
    assert wait_for(lambda: runtime.error is not None)
    assert state(runtime) is State.FAULT
    assert isinstance(runtime.error, ValueError)
