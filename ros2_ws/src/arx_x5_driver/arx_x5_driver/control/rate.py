# SPDX-License-Identifier: Apache-2.0
"""A thread that calls a function at a fixed rate and measures how well it keeps that rate."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_WINDOW_S = 10.0  # statistics are over this much of the past
STOP_TIMEOUT_S = 2.0
"""How long `RateLoop.stop` waits for the present call to finish."""


@dataclass(frozen=True)
class RateStatistics:
    """A loop's timing in the last ten seconds (NaN before its first period); `missed` counts from the start.

    Attributes:
        period_error_p99_s: 99th percentile of |period - nominal|.
        work_p50_s: median time that the work took.
        work_p99_s: 99th percentile of it.
        missed: periods that were left out because the work before them took too long.
        realtime: whether the system gave the loop's thread a real-time priority.
    """

    period_error_p99_s: float
    work_p50_s: float
    work_p99_s: float
    missed: int
    realtime: bool


class RateLoop:
    """Call `work` at absolute deadlines on `time.monotonic()`'s clock, so that errors do not add up.

    Deadlines that have passed while work was late are left out, not caught up with: two control periods in quick
    succession would be a burst of motion.
    """

    def __init__(
        self,
        period_s: float,
        work: Callable[[float], None],
        on_error: Callable[[Exception], None],
        priority: int = 0,
    ) -> None:
        """Prepare the thread.

        Args:
            period_s: time between calls.
            work: is called with the present time; an exception ends the loop.
            on_error: is called from the loop's thread with the exception that ended it.
            priority: real-time priority (SCHED_FIFO) to ask for, 0 for none; it is used if the system permits it.
        """
        self._period_s = period_s
        self._work = work
        self._on_error = on_error
        self._priority = priority
        self._realtime = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        size = max(2, round(_WINDOW_S / period_s))
        # |period - nominal|, and the work's time: lists, as the loop sets single numbers.
        self._errors_s = [math.nan] * size
        self._works_s = [math.nan] * size
        self._count = 0
        self._missed = 0
        self._last_s = time.monotonic()

    def start(self) -> None:
        """Begin, or begin again after `stop`. Raises `RuntimeError` while an earlier call of the work still hangs."""
        if self.alive:
            raise RuntimeError("the loop's thread still runs")
        self._last_s = time.monotonic()
        # Each thread has its own event: nothing can bring one back that was told to end.
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._ended,), name="control_loop", daemon=True)
        self._thread.start()

    def stop(self) -> bool:
        """Let the present call finish, then end. May be called twice.

        Returns:
            Whether it ended. False: the call hangs, and the thread ends when it returns.
        """
        self._ended.set()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S)
        return not self.alive

    @property
    def alive(self) -> bool:
        """Whether there is a thread that works or hangs."""
        return self._thread is not None and self._thread.is_alive()

    def silence_s(self) -> float:
        """Time since the last call began: much more than a period means that the work hangs."""
        return time.monotonic() - self._last_s

    def statistics(self) -> RateStatistics:
        """Return the loop's timing."""
        # The loop may wait for Python's lock meanwhile, and this is ten times as fast as np.percentile. The NaN of
        # periods to come count as largest.
        count = min(self._count, len(self._works_s))
        p50, p99 = count // 2, (99 * count) // 100
        errors_s, works_s = np.partition((self._errors_s, self._works_s), (p50, p99)).tolist()
        return RateStatistics(errors_s[p99], works_s[p50], works_s[p99], self._missed, self._realtime)

    def _run(self, ended: threading.Event) -> None:
        self._realtime = make_realtime(self._priority)
        try:
            self._loop(ended)
        except Exception as error:  # the end of the thread: its owner must learn of any error
            self._on_error(error)

    def _loop(self, ended: threading.Event) -> None:
        deadline_s = time.monotonic()
        previous_s = deadline_s - self._period_s
        while not ended.is_set():
            begin_s = self._last_s = time.monotonic()
            period_error_s = abs(begin_s - previous_s - self._period_s)
            self._work(begin_s)
            end_s = time.monotonic()
            slot = self._count % len(self._works_s)
            self._errors_s[slot], self._works_s[slot] = period_error_s, end_s - begin_s
            self._count += 1
            previous_s = begin_s

            deadline_s += self._period_s
            late = int((end_s - deadline_s) / self._period_s) if end_s > deadline_s else 0
            self._missed += late
            deadline_s += late * self._period_s
            time.sleep(max(0.0, deadline_s - end_s))


def make_realtime(priority: int, thread: int = 0) -> bool:
    """Give a thread, by default the calling one, a real-time priority (SCHED_FIFO); whether it now has one.

    0 gives none.
    """
    if priority <= 0:
        return False
    try:
        os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        return False
    return True
