# SPDX-License-Identifier: Apache-2.0
"""The loop on a loopback arm in real time: threads, faults of the arm, timing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from arx_x5_driver import rate
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
    hanging = False

    def __init__(self) -> None:
        super().__init__(START, gripper_width=0.04)
        self.resume = threading.Event()
        self.resume.set()

    def hang(self) -> None:
        self.resume.clear()

    def read(self) -> ArmState:
        if self.broken == "read":
            raise ArmError("no answer")
        self.hanging = not self.resume.is_set()
        self.resume.wait()
        self.hanging = False
        return super().read()

    def command(self, command: ArmCommand) -> None:
        if self.broken == "command":
            raise ArmError("no bus")
        super().command(command)


@pytest.fixture
def arm() -> FragileArm:
    return FragileArm()


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
    arm.broken = ""
    arm.resume.set()
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
    # Generous: a machine that tests share with others says little about time, `loop_work_p99` in x5/status more.
    assert 0.0 < statistics.work_p50_s < 0.02


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
    arm.hang()
    assert wait_for(lambda: state(runtime) is State.FAULT, timeout_s=10.0)
    assert "stuck" in runtime.watch()[0].reason


def test_a_call_that_hung_through_a_stop_commands_nothing(
    runtime: Runtime,
    arm: FragileArm,
    sent: list[ArmCommand | None],
    sdk_kinematics: SdkKinematics,
    make_chunk: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate, "_STOP_TIMEOUT_S", 0.05)
    runtime.enable()
    runtime.offer(make_chunk(time.monotonic(), sdk_kinematics.forward(START)), time.monotonic())
    assert wait_for(lambda: bool(sent) and sent[-1] is not None and bool(sent[-1].velocity.any()))
    arm.hang()
    assert wait_for(lambda: arm.hanging)
    count = len(sent)
    runtime.stop()
    with pytest.raises(ArmError, match="still hangs"):
        runtime.start()
    arm.resume.set()
    assert wait_for(lambda: not runtime._loop.alive)
    assert len(sent) == count
    runtime.start()
    assert wait_for(lambda: len(sent) > count)


def test_a_bug_in_the_loop_is_not_swallowed(runtime: Runtime, arm: FragileArm) -> None:
    runtime.enable()
    arm._goal = np.zeros(3)
    assert wait_for(lambda: runtime.error is not None)
    assert state(runtime) is State.FAULT
    assert isinstance(runtime.error, ValueError)
