# SPDX-License-Identifier: Apache-2.0
"""Run a set of processes that belong together: all live, or all end."""

from __future__ import annotations

import ctypes
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from uva_bringup import guardian
from uva_bringup.command import NODE_ENVIRONMENT

# A node that got SIGINT has this time to bring an arm to a stop and to close its files, before SIGTERM and SIGKILL.
SIGINT_GRACE_S = 5.0
SIGTERM_GRACE_S = 3.0
SIGKILL_GRACE_S = 2.0
POLL_S = 0.05
LAST_LINES = 20

_logger = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Command:
    """One process to run. NodeSpec describes `label` and `linger_s`."""

    label: str
    argv: Sequence[str]
    linger_s: float = 0.0


@dataclass(frozen=True)
class Death:
    """The end of a process that nobody asked to end. Times are of the monotonic clock."""

    label: str
    returncode: int
    time_s: float
    stop_at_s: float
    last_lines: tuple[str, ...]

    @property
    def lingered(self) -> bool:
        """Whether the others ran on afterwards."""
        return self.stop_at_s > self.time_s

    def __str__(self) -> str:
        """Return which process ended and how, as a clause of a sentence."""
        return f"{self.label} {describe_exit(self.returncode)}"


def describe_exit(returncode: int) -> str:
    """Return "exited with code 1" or "was killed by SIGKILL"."""
    if returncode >= 0:
        return f"exited with code {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:  # most real-time signals have no name
        return f"was killed by signal {-returncode}"


class Supervisor:
    """Start processes in groups of their own, forward their output, and end them all.

    Nothing outlives the supervisor: `stop` escalates to SIGKILL, and if this process itself is killed,
    the kernel (on Linux) and a guardian process tell the others to end.

    Start it from the main thread: Linux tells children of the death of the thread that started them.
    """

    def __init__(
        self,
        commands: Sequence[Command],
        on_line: Callable[[str, str], None],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            commands: The processes, in starting order.
            on_line: Called from a thread with label and text of every line that a process writes. When it raises,
                that is logged once, and it is not called again.
            environment: Variables added to this process's own.
        """
        self._commands = commands
        self._on_line: Callable[[str, str], None] | None = on_line
        self._environment = {**os.environ, **NODE_ENVIRONMENT, "PYTHONUNBUFFERED": "1", **(environment or {})}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lines: dict[str, deque[str]] = {c.label: deque(maxlen=LAST_LINES) for c in commands}
        self._deaths: dict[str, Death] = {}
        self._guardian: subprocess.Popen[bytes] | None = None
        self._output = threading.Thread(target=self._read_output, name="output", daemon=True)
        self._stopping = False

    def __enter__(self) -> Supervisor:
        """Start all processes; if one cannot be started, end those that were."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes."""
        self.stop()

    def start(self) -> None:
        """Start all processes."""
        script = [sys.executable, "-I", "-S", str(Path(guardian.__file__))]
        self._guardian = subprocess.Popen(script, stdin=subprocess.PIPE, start_new_session=True)
        assert self._guardian.stdin is not None
        for command in self._commands:
            process = subprocess.Popen(
                command.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
                preexec_fn=_prepare_child(os.getpid()),
            )
            self._processes[command.label] = process
            self._guardian.stdin.write(f"{process.pid}\n".encode())
            self._guardian.stdin.flush()
        self._output.start()

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by label."""
        return {label: process.pid for label, process in self._processes.items()}

    def deaths(self) -> list[Death]:
        """Return the ends that nobody asked for, in the order in which they were seen."""
        for command in self._commands:
            process = self._processes.get(command.label)
            if self._stopping or process is None or command.label in self._deaths:
                continue
            returncode = process.poll()
            if returncode is not None:
                self._deaths[command.label] = self._describe_death(command, returncode)
        return list(self._deaths.values())

    def due_death(self) -> Death | None:
        """Return the death after which all must end now, once its `stop_at_s` has passed; None if there is none."""
        due = [death for death in self.deaths() if time.monotonic() >= death.stop_at_s]
        return min(due, key=lambda death: death.time_s, default=None)

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> list[str]:
        """Send all processes SIGINT and wait, then SIGTERM and wait, then SIGKILL.

        Args:
            hurry: Polled while waiting; true skips to the next signal.

        Returns:
            Labels of the processes that had to be killed.
        """
        self.deaths()
        self._stopping = True
        for number, grace_s in ((signal.SIGINT, SIGINT_GRACE_S), (signal.SIGTERM, SIGTERM_GRACE_S)):
            self._signal(number)
            deadline = time.monotonic() + grace_s
            while self._running() and time.monotonic() < deadline and not hurry():
                time.sleep(POLL_S)
        killed = self._running()
        self._kill_groups()
        for process in self._processes.values():
            process.wait(SIGKILL_GRACE_S)
        if self._output.is_alive():
            self._output.join(SIGKILL_GRACE_S)
        if self._guardian is not None:
            self._guardian.kill()
            self._guardian.communicate()
            self._guardian = None
        return killed

    def _running(self) -> list[str]:
        return [label for label, process in self._processes.items() if process.poll() is None]

    def _signal(self, number: signal.Signals) -> None:
        guardian.send([self._processes[label].pid for label in self._running()], number)

    def _kill_groups(self) -> None:
        # Of all groups: a process that ended properly may have left children of its own.
        guardian.send(self.pids.values(), signal.SIGKILL)

    def _describe_death(self, command: Command, returncode: int) -> Death:
        now_s = time.monotonic()
        self._output.join(POLL_S)  # its last lines may still be in the pipe
        last_lines = tuple(self._lines[command.label])
        return Death(command.label, returncode, now_s, now_s + command.linger_s, last_lines)

    def _read_output(self) -> None:
        """Forward complete lines of all processes until all have closed their output."""
        rests: dict[str, bytes] = {}
        with selectors.DefaultSelector() as selector:
            for label, process in self._processes.items():
                selector.register(_output_of(process), selectors.EVENT_READ, label)
            while selector.get_map():
                for key, _ in selector.select():
                    label = key.data
                    block = os.read(key.fd, 65536)
                    *lines, rests[label] = (rests.get(label, b"") + block).split(b"\n")
                    if not block:
                        selector.unregister(key.fileobj)
                        lines = [rests.pop(label)] if rests[label] else []
                    for line in lines:
                        text = line.decode(errors="replace").rstrip("\r")
                        self._lines[label].append(text)
                        self._forward(label, text)

    def _forward(self, label: str, text: str) -> None:
        if self._on_line is None:
            return
        try:
            self._on_line(label, text)
        except Exception as error:  # of any kind: the processes would block if nobody read their output
            self._on_line = None
            _logger.error("the output of the processes is lost from here on: %s", error)


def _output_of(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def _prepare_child(parent_pid: int) -> Callable[[], None]:
    """Return what a child does before it becomes the wanted program."""

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in shells' background jobs
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent_pid:  # the parent has ended before the call above
                os._exit(1)

    return prepare
