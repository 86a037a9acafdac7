# SPDX-License-Identifier: Apache-2.0
"""The process in which an isolated arm lives; `IsolatedArm` starts it.

It serves the driver until the driver closes the channel or has ended, and then releases the arm as configured. A call
of the arm's library that never returns is ended by an alarm signal, which the kernel delivers whatever the library
holds.
"""

from __future__ import annotations

import pickle
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import numpy as np

from arx_x5_driver.arm import SILENCE_S, Arm, ArmCommand, ArmError
from arx_x5_driver.arms import records
from arx_x5_driver.control.rate import make_realtime

_ALARM_S = 60.0  # a call that takes this long will not return, and the driver may have ended
_STALE_S = 0.05  # commands that waited this long behind a hanging call would make the arm jump


def main() -> None:
    """Serve the driver at the other end of the socket, whose file descriptor is the only argument."""
    # A terminal or launcher sends these to all at once: the driver stops the arm, then this process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _reset_alarm()
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        factory, priority = pickle.loads(channel.recv(records.LONGEST))
        make_realtime(priority)
        arm: Arm = factory()
        try:
            arm.connect()
            channel.send(records.pack_state(arm.read()))
            serve(channel, arm)
        except ArmError as error:
            channel.send(_error(error))
        finally:
            _reset_alarm()
            arm.close()


def serve(channel: socket.socket, arm: Arm) -> None:
    """Answer until the driver closes the channel or has ended; stop a moving arm that gets no commands."""
    channel.setblocking(False)
    current: ArmCommand | None = None
    applied_s = 0.0
    ended = False
    while not ended:
        _reset_alarm()
        moving = current is not None and current.moves
        wait_s = max(0.0, applied_s + SILENCE_S - time.monotonic()) if moving else SILENCE_S
        select.select([channel], [], [], wait_s)
        asked, newest = False, None
        for record in _waiting(channel):
            ended |= record in (b"", records.CLOSE)
            asked |= record == records.POLL
            newest = record if record[:1] == records.COMMAND else newest
        now_s = time.monotonic()
        command = _fresh(newest, now_s)
        neglected = command is None and now_s - applied_s >= SILENCE_S
        last = command or current
        if last is not None and last.moves and (neglected or ended):
            command = ArmCommand(last.position, np.zeros_like(last.velocity), last.gripper_width)
        if command is not None:
            current, applied_s = command, now_s
            _send_errors_of(partial(arm.command, command), channel)
        if asked:
            _send_errors_of(lambda: _send(channel, records.pack_state(arm.read())), channel)


def _fresh(record: bytes | None, now_s: float) -> ArmCommand | None:
    """Return the command of a record, None if there is no record or it is too old."""
    if record is None:
        return None
    command, given_s = records.unpack_command(record)
    return command if now_s - given_s <= _STALE_S else None


def _send_errors_of(call: Callable[[], None], channel: socket.socket) -> None:
    try:
        call()
    except ArmError as error:
        _send(channel, _error(error))


def _send(channel: socket.socket, record: bytes) -> None:
    # A driver that takes nothing is suspended or has ended; the next poll or the end of the channel will show which.
    with suppress(BlockingIOError, ConnectionError):
        channel.send(record)


def _waiting(channel: socket.socket) -> Iterator[bytes]:
    """Yield the records that have come; an empty one is the end of the channel."""
    while True:
        try:
            record = channel.recv(records.LONGEST)
        except BlockingIOError:
            return
        except ConnectionResetError:
            record = b""
        yield record
        if not record:
            return


def _error(error: ArmError) -> bytes:
    return records.ERROR + str(error).encode()[: records.LONGEST - 1]


def _reset_alarm() -> None:
    signal.setitimer(signal.ITIMER_REAL, _ALARM_S)


if __name__ == "__main__":
    main()
