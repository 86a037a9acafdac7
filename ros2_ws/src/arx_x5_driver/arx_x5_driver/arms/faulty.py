# SPDX-License-Identifier: Apache-2.0
"""An arm that fails on purpose, to test how the driver reacts."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable

import numpy as np

from arx_x5_driver.arm import Arm, ArmCommand, ArmError, ArmState

FAULTS = ("none", "freeze", "hang", "raise", "crash")
"""`freeze`: measurements stand still. `hang`: a call does not return, nor let other threads of its process run.
`raise`: calls fail. `crash`: the process dies."""

_FOREVER_S = 3600.0


class FaultyArm:
    """A wrapper that loses measurements of another arm and fails some time after the first command."""

    def __init__(
        self,
        arm: Arm,
        fault: str = "none",
        after_s: float = 0.0,
        duration_s: float = 0.0,
        dropout: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Plan the fault.

        Args:
            arm: the arm to wrap.
            fault: one of `FAULTS`.
            after_s: the fault begins this long after the first command.
            duration_s: how long it lasts; 0: for ever.
            dropout: share of measurements that get lost, at random.
            clock: the driver's clock.
        """
        if fault not in FAULTS:
            raise ValueError(f"unknown fault '{fault}', known are {', '.join(FAULTS)}")
        self._arm = arm
        self._fault = fault
        self._after_s = after_s
        self._duration_s = duration_s or _FOREVER_S
        self._dropout = dropout
        self._clock = clock
        self._random = np.random.default_rng(0)
        self._commanded_s: float | None = None
        self._last: ArmState | None = None

    def connect(self) -> None:
        """See `Arm`."""
        self._arm.connect()

    def read(self) -> ArmState:
        """See `Arm`; in a fault, or when the measurement is lost, an old one."""
        frozen = self._fail() == "freeze" or self._random.random() < self._dropout
        if self._last is None or not frozen:
            self._last = self._arm.read()
        return self._last

    def command(self, command: ArmCommand) -> None:
        """See `Arm`."""
        if self._commanded_s is None:
            self._commanded_s = self._clock()
        self._fail()
        self._arm.command(command)

    def close(self) -> None:
        """See `Arm`."""
        self._arm.close()

    def _fail(self) -> str:
        """Fail if it is time to, and return the fault that the caller has to simulate."""
        if self._commanded_s is None:
            return "none"
        into_s = self._clock() - self._commanded_s - self._after_s
        if not 0.0 <= into_s < self._duration_s:
            return "none"
        if self._fault == "raise":
            raise ArmError("a fault on purpose")
        if self._fault == "hang":
            # Unlike CDLL, PyDLL keeps Python's lock, as the SDK does.
            ctypes.PyDLL(None).usleep(int((self._duration_s - into_s) * 1e6))
        if self._fault == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        return self._fault
