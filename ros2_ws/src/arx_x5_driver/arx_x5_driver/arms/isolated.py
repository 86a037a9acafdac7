# SPDX-License-Identifier: Apache-2.0
"""Any arm in a process of its own, so that a library which hangs or crashes does not take the driver with it.

The SDK keeps Python's lock during its calls and can deadlock in its emergency path: no other thread of the same process
would then run, not even a watchdog. Here the control loop never waits for the library. In each period it takes the
answer to the poll of the period before, and polls again; a missing answer is an error.
"""

from __future__ import annotations

import logging
import pickle
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from arx_x5_driver.arm import Arm, ArmCommand, ArmError, ArmState
from arx_x5_driver.arms import records

_GRACE_S = 0.002  # where both processes were held up, the answer comes at once
_DYING_S = 0.02  # between the end of a process's sockets and its own
_KILL_WAIT_S = 2.0

_logger = logging.getLogger(__name__)


class IsolatedArm:
    """An `Arm` whose calls are made in another process, which runs `arms.arm_process`."""

    def __init__(
        self,
        factory: Callable[[], Arm],
        *,
        timeout_s: float = 0.06,
        connect_timeout_s: float = 20.0,
        close_timeout_s: float = 10.0,
        priority: int = 0,
        advice: str = "restart the driver",
    ) -> None:
        """Remember what to make; the process starts with `connect`.

        Args:
            factory: makes the arm, in the other process: it is pickled.
            timeout_s: without an answer for this long the library is taken to hang.
            connect_timeout_s: how long the arm's own `connect` may take.
            close_timeout_s: how long its `close` may take before the process is killed.
            priority: real-time priority of the process, if the system permits one; 0: none.
            advice: what the operator is to do if the library hangs or has crashed, as the end of a sentence.
        """
        self._factory = factory
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._close_timeout_s = close_timeout_s
        self._priority = priority
        self._advice = advice
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._state: ArmState | None = None
        self._error = ""
        self._polled_s = 0.0
        self._answered = True

    @property
    def pid(self) -> int | None:
        """Process ID of the other process, None if there is none."""
        return self._process.pid if self._process else None

    def connect(self) -> None:
        """Start the process and connect the arm in it. Raises `ArmError`."""
        self.close()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "arx_x5_driver.arms.arm_process", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a signal to the driver's process group must not end the arm's hold
            )
        self._channel.send(pickle.dumps((self._factory, self._priority)))
        self._channel.setblocking(False)
        self._state, self._error = None, ""
        self._polled_s, self._answered = time.monotonic(), False
        self._receive(self._connect_timeout_s)
        if self._state is None:
            error = self._error or (
                f"the arm's library did not connect within {self._connect_timeout_s:g} s, "
                f"its own output above may say why; {self._advice}"
            )
            self._kill()
            raise ArmError(error)

    def read(self) -> ArmState:
        """Return the answer to the poll of the last call, or of this one if that is long ago. Raises `ArmError`."""
        self._receive(0.0)
        if self._answered and time.monotonic() - self._polled_s > self._timeout_s:
            self._poll()
            self._receive(self._timeout_s)
        self._raise_errors()
        if self._answered:
            self._poll()
        if self._state is None:
            raise ArmError("the arm is not connected")
        return self._state

    def command(self, command: ArmCommand) -> None:
        """Hand a command over. Raises `ArmError` if the library hangs, has crashed, or refused an earlier one."""
        self._raise_errors()
        if not self._send(records.pack_command(command, time.monotonic())):
            self._receive(0.0)  # notes an error if the process has ended
            self._raise_errors()
            raise ArmError(f"the arm's library takes no commands; {self._advice}")

    def close(self) -> None:
        """Release the arm as its own `close` does; a process that does not end is killed."""
        if self._process is None:
            return
        self._send(records.CLOSE)
        try:
            self._process.wait(self._close_timeout_s)
        except subprocess.TimeoutExpired:
            _logger.error(
                "the arm's library did not release the arm within %g s and was killed; %s",
                self._close_timeout_s,
                self._advice,
            )
        self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(_KILL_WAIT_S)
            self._process = None
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _poll(self) -> None:
        self._polled_s, self._answered = time.monotonic(), False
        self._send(records.POLL)

    def _send(self, record: bytes) -> bool:
        if self._channel is None:
            raise ArmError("the arm is not connected")
        try:
            return self._channel.send(record) == len(record)
        except (BlockingIOError, ConnectionError):
            return False

    def _receive(self, timeout_s: float) -> None:
        """Take the records that have come; wait up to `timeout_s` for a first one."""
        if self._channel is None:
            raise ArmError("the arm is not connected")
        if timeout_s > 0.0:
            select.select([self._channel], [], [], timeout_s)
        while True:
            try:
                record = self._channel.recv(records.LONGEST)
            except BlockingIOError:
                return
            except ConnectionResetError:
                record = b""
            if not record:
                self._error = self._error or f"the arm's process {self._end()}; {self._advice}"
                return
            self._answered = True
            if record[:1] == records.ERROR:
                self._error = record[1:].decode()
            else:
                self._state = records.unpack_state(record)

    def _end(self) -> str:
        assert self._process is not None
        try:
            code = self._process.wait(_DYING_S if self._state else _KILL_WAIT_S)
        except subprocess.TimeoutExpired:
            return "hung up"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    def _raise_errors(self) -> None:
        if not self._answered and time.monotonic() - self._polled_s > self._timeout_s:
            self._receive(_GRACE_S)
            silence_s = time.monotonic() - self._polled_s
            if not self._answered:
                raise ArmError(f"the arm's library has not answered for {silence_s * 1e3:.0f} ms; {self._advice}")
        if self._error:
            error, self._error = self._error, ""
            raise ArmError(error)
