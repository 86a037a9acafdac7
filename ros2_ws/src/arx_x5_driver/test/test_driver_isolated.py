# SPDX-License-Identifier: Apache-2.0
"""An arm in a process of its own: the same arm from outside, and no harm when it hangs, crashes or is left alone."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import pytest

from arx_x5_driver.arm import ArmCommand, ArmError, ArmState
from arx_x5_driver.arms import Arx5SdkArm, FaultyArm, IsolatedArm, LoopbackArm, arm_process, records

START = np.array([0.0, 1.2, 1.3, 0.6, 0.0, 0.0])


def goal(angle: float, speed: float = 0.0) -> ArmCommand:
    return ArmCommand(np.full(6, angle), np.full(6, speed), 0.05, 0.01 if speed else 0.0)


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def isolated() -> Iterator[Callable[..., IsolatedArm]]:
    """`isolated(fault, after_s, duration_s)`: a connected loopback arm in another process."""
    arms: list[IsolatedArm] = []

    def make(fault: str = "none", after_s: float = 0.0, duration_s: float = 0.0) -> IsolatedArm:
        factory = partial(FaultyArm, LoopbackArm(START, 0.04, lag_s=0.0), fault, after_s, duration_s)
        # Patient, because a machine that tests share with others may let the process wait.
        arms.append(IsolatedArm(factory, timeout_s=0.3, close_timeout_s=0.5, advice="call Ann"))
        arms[-1].connect()
        return arms[-1]

    yield make
    for arm in arms:
        arm.close()


def read_until(arm: IsolatedArm, condition: Callable[[ArmState], Any], timeout_s: float = 10.0) -> ArmState:
    deadline_s = time.monotonic() + timeout_s
    while not condition(state := arm.read()):
        assert time.monotonic() < deadline_s, state
        time.sleep(0.005)
    return state


def command_until_error(arm: IsolatedArm, timeout_s: float = 10.0) -> tuple[str, float]:
    """What the first error says, and how long before it the arm's last measurement was."""
    deadline_s = time.monotonic() + timeout_s
    stamp_s = 0.0
    while time.monotonic() < deadline_s:
        try:
            stamp_s = arm.read().stamp_s
            arm.command(goal(0.1))
        except ArmError as error:
            return str(error), time.monotonic() - stamp_s
        time.sleep(0.005)
    raise AssertionError("no error came")


def test_records_keep_every_number() -> None:
    command = ArmCommand(np.arange(6.0), -np.arange(6.0), 0.03, -0.2)
    unpacked, given_s = records.unpack_command(records.pack_command(command, 12.5))
    assert given_s == 12.5
    np.testing.assert_array_equal(unpacked.position, command.position)
    np.testing.assert_array_equal(unpacked.velocity, command.velocity)
    assert (unpacked.gripper_width, unpacked.gripper_velocity) == (0.03, -0.2)
    state = ArmState(3.0, np.arange(6.0), np.ones(6), np.full(6, 2.0), 0.01, 0.02, 0.03)
    again = records.unpack_state(records.pack_state(state))
    for name, value in vars(state).items():
        np.testing.assert_array_equal(getattr(again, name), value)


def test_it_is_the_same_arm_from_outside(isolated: Callable[..., IsolatedArm]) -> None:
    arm = isolated()
    first = arm.read()
    np.testing.assert_array_equal(first.position, START)
    assert first.gripper_width == 0.04
    arm.command(goal(0.5))
    reached = read_until(arm, lambda state: state.position[0] == 0.5)
    assert reached.gripper_width == 0.05
    assert reached.stamp_s > first.stamp_s
    pid = arm.pid
    assert pid is not None and exists(pid)
    arm.close()
    arm.close()
    assert not exists(pid)
    with pytest.raises(ArmError, match="not connected"):
        arm.read()
    with pytest.raises(ArmError, match="not connected"):
        arm.command(goal(0.5))


def test_after_a_pause_a_reading_is_new(isolated: Callable[..., IsolatedArm]) -> None:
    """Whoever enables the arm starts from it: where the arm was when somebody last asked is not good enough."""
    arm = isolated()
    arm.read()
    time.sleep(0.4)
    before_s = time.monotonic()
    assert arm.read().stamp_s >= before_s


def test_a_hang_is_an_error_in_time_and_passes(isolated: Callable[..., IsolatedArm]) -> None:
    arm = isolated("hang", 0.1, 1.2)
    message, silence_s = command_until_error(arm)
    assert "has not answered for" in message
    assert "call Ann" in message
    assert 0.3 < silence_s < 1.0
    with pytest.raises(ArmError, match="has not answered"):
        arm.command(goal(0.3))
    deadline_s = time.monotonic() + 10.0
    while True:
        try:
            state = arm.read()
            break
        except ArmError:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    # What was commanded while it hung was refused, so that the arm does not jump there now.
    np.testing.assert_allclose(state.position, 0.1)


def test_a_crash_is_an_error_and_the_arm_can_be_connected_again(isolated: Callable[..., IsolatedArm]) -> None:
    arm = isolated("crash", 0.05)
    message, _ = command_until_error(arm)
    assert message == "the arm's process was killed by SIGKILL; call Ann"
    for _ in range(2):
        with pytest.raises(ArmError, match="SIGKILL"):
            arm.read()
    arm.connect()
    np.testing.assert_array_equal(arm.read().position, START)


def test_errors_of_the_arm_come_through_once_each(isolated: Callable[..., IsolatedArm]) -> None:
    arm = isolated("raise", 0.05, 0.2)
    message, _ = command_until_error(arm)
    assert message == "a fault on purpose"
    time.sleep(0.3)
    deadline_s = time.monotonic() + 10.0
    recovered = 0
    while recovered < 3:
        assert time.monotonic() < deadline_s
        try:
            arm.read()
            recovered += 1
        except ArmError:
            recovered = 0
        time.sleep(0.01)


def test_close_kills_what_hangs(isolated: Callable[..., IsolatedArm], caplog: pytest.LogCaptureFixture) -> None:
    arm = isolated("hang")
    pid = arm.pid
    assert pid is not None
    command_until_error(arm)
    with caplog.at_level(logging.ERROR):
        began_s = time.monotonic()
        arm.close()
    assert 0.4 < time.monotonic() - began_s < 5.0
    assert not exists(pid)
    assert "was killed; call Ann" in caplog.text


def test_what_cannot_connect_says_why() -> None:
    arm = IsolatedArm(partial(Arx5SdkArm, "X5_umi", "nosuchcan"))
    with pytest.raises(ArmError, match="there is no network interface 'nosuchcan'"):
        arm.connect()
    assert arm.pid is None
    broken = IsolatedArm(partial(FaultyArm, LoopbackArm(), "no such fault"), advice="call Ann")
    with pytest.raises(ArmError, match="ended with code 1; call Ann"):
        broken.connect()


def test_the_process_does_not_outlive_its_driver() -> None:
    """Not even one that was killed, and not by the kill of its group."""
    program = (
        "import os, signal, time\n"
        "from arx_x5_driver.arms import IsolatedArm, LoopbackArm\n"
        "arm = IsolatedArm(LoopbackArm)\n"
        "arm.connect()\n"
        "print(arm.pid, os.getsid(arm.pid) == arm.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    driver = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, timeout=30)
    assert driver.returncode == -signal.SIGKILL
    pid, own_session = driver.stdout.split()
    assert own_session == "True"
    deadline_s = time.monotonic() + 10.0
    while exists(int(pid)):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


class RecordingArm(LoopbackArm):
    """Keeps the commands."""

    def __init__(self) -> None:
        super().__init__(START)
        self.commands: list[ArmCommand] = []
        self.hang_s = 0.0

    def command(self, command: ArmCommand) -> None:
        self.commands.append(command)
        time.sleep(self.hang_s)


@pytest.fixture
def served() -> Iterator[tuple[RecordingArm, socket.socket, threading.Thread]]:
    """An arm that is served in a thread, with the driver's end of the channel."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    arm = RecordingArm()
    thread = threading.Thread(target=arm_process.serve, args=(theirs, arm))
    thread.start()
    yield arm, ours, thread
    ours.close()
    thread.join(5.0)
    theirs.close()
    assert not thread.is_alive()


def wait_for(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_an_arm_in_motion_whose_driver_falls_silent_stands_still(served: Any) -> None:
    arm, channel, _ = served
    channel.send(records.pack_command(goal(0.2, speed=0.5), time.monotonic()))
    wait_for(lambda: len(arm.commands) == 2)
    moving, held = arm.commands
    assert moving.moves and not held.moves
    np.testing.assert_array_equal(held.position, moving.position)
    assert held.gripper_width == moving.gripper_width
    time.sleep(0.25)
    assert len(arm.commands) == 2


@pytest.mark.parametrize("hang_s", [0.0, 0.3])
def test_an_arm_in_motion_whose_driver_gave_up_stands_still(served: Any, hang_s: float) -> None:
    """After a fault it still asks, but its commands to brake may have waited too long behind a call that hung."""
    arm, channel, _ = served
    arm.hang_s = hang_s
    channel.send(records.pack_command(goal(0.2, speed=0.5), time.monotonic()))
    wait_for(lambda: len(arm.commands) == 1)
    arm.hang_s = 0.0
    if hang_s:
        channel.send(records.pack_command(goal(0.21, speed=0.1), time.monotonic()))
        channel.send(records.pack_command(goal(0.21), time.monotonic()))
    channel.setblocking(False)
    deadline_s = time.monotonic() + 5.0
    while len(arm.commands) < 2 and time.monotonic() < deadline_s:
        with suppress(BlockingIOError):
            channel.send(records.POLL)
        time.sleep(0.005)
    moving, held = arm.commands
    assert moving.moves and not held.moves
    np.testing.assert_array_equal(held.position, 0.2)


def test_of_commands_that_piled_up_only_the_newest_counts_and_no_old_one(served: Any) -> None:
    arm, channel, _ = served
    channel.send(records.pack_command(goal(0.9), time.monotonic() - 0.2))
    channel.send(records.POLL)
    channel.settimeout(5.0)
    assert channel.recv(records.LONGEST)[:1] == records.STATE
    assert arm.commands == []
    channel.send(records.pack_command(goal(0.3), time.monotonic()))
    wait_for(lambda: len(arm.commands) == 1)
    np.testing.assert_array_equal(arm.commands[0].position, 0.3)


def test_a_command_that_comes_with_the_goodbye_does_not_move(served: Any) -> None:
    arm, channel, thread = served
    arm.hang_s = 0.1
    channel.send(records.pack_command(goal(0.1), time.monotonic()))
    wait_for(lambda: len(arm.commands) == 1)
    channel.send(records.pack_command(goal(0.2, speed=0.5), time.monotonic() + 0.1))
    channel.send(records.CLOSE)
    thread.join(5.0)
    assert [command.moves for command in arm.commands] == [False, False]


@pytest.mark.parametrize("ending", ["goodbye", "end of the channel"])
def test_serving_ends_with_the_arm_at_rest(served: Any, ending: str) -> None:
    arm, channel, thread = served
    channel.send(records.pack_command(goal(0.2, speed=0.5), time.monotonic()))
    wait_for(lambda: len(arm.commands) == 1)
    if ending == "goodbye":
        channel.send(records.CLOSE)
    else:
        channel.shutdown(socket.SHUT_RDWR)
    thread.join(5.0)
    assert not thread.is_alive()
    assert [command.moves for command in arm.commands] == [True, False]
