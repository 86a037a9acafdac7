# SPDX-License-Identifier: Apache-2.0
"""The loop keeps its rate, leaves out what it missed, and reports what its work raises."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from arx_x5_driver.control import rate
from arx_x5_driver.control.rate import RateLoop

PERIOD_S = 0.01


def unexpected(error: Exception) -> None:
    raise error


def wait_for(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.002)
    return True


def worst_delay(calls: list[float]) -> float:
    """The longest gap, in periods: what a busy machine did to this run."""
    return float(np.diff(calls).max()) / PERIOD_S


def test_rate_has_no_drift() -> None:
    calls: list[float] = []
    loop = RateLoop(PERIOD_S, calls.append, unexpected)
    assert np.isnan(loop.statistics().work_p99_s)
    loop.start()
    began_s = time.monotonic()
    assert wait_for(lambda: len(calls) >= 50)
    assert loop.stop()
    ran_s = time.monotonic() - began_s
    assert loop.stop()
    count = len(calls)
    # Periods either had their call or are counted as missed, so that lateness does not add up: one is in the making.
    assert count + loop.statistics().missed == pytest.approx(ran_s / PERIOD_S, abs=3.0 + worst_delay(calls))
    assert (np.diff(calls) > 0.0).all()
    assert calls[-1] - calls[0] >= (count - 1 - 1) * PERIOD_S - 1e-3
    statistics = loop.statistics()
    assert 0.0 <= statistics.work_p50_s <= statistics.work_p99_s
    assert statistics.period_error_p99_s >= 0.0
    time.sleep(3 * PERIOD_S)
    assert len(calls) == count


@pytest.mark.parametrize("permitted", [True, False])
def test_realtime_priority_is_used_if_permitted(monkeypatch: pytest.MonkeyPatch, permitted: bool) -> None:
    asked: list[int] = []

    def set_scheduler(_pid: int, _policy: int, parameters: os.sched_param) -> None:
        asked.append(parameters.sched_priority)
        if not permitted:
            raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", set_scheduler)
    calls: list[float] = []
    loop = RateLoop(PERIOD_S, calls.append, unexpected, priority=20)
    loop.start()
    assert wait_for(lambda: bool(calls))
    loop.stop()
    assert asked == [20]
    assert loop.statistics().realtime is permitted


def test_missed_periods_are_left_out() -> None:
    calls: list[float] = []

    def work(now_s: float) -> None:
        calls.append(now_s)
        if len(calls) == 3:
            time.sleep(10.5 * PERIOD_S)

    loop = RateLoop(PERIOD_S, work, unexpected)
    began_s = time.monotonic()
    loop.start()
    assert wait_for(lambda: len(calls) >= 10)
    loop.stop()
    assert loop.statistics().missed >= 9
    # After the late call the next one waits for a deadline, instead of making up for those that passed.
    assert calls[3] - calls[2] >= 10.5 * PERIOD_S
    assert len(calls) + loop.statistics().missed <= (time.monotonic() - began_s) / PERIOD_S + 2


def test_it_can_start_again() -> None:
    calls: list[float] = []
    loop = RateLoop(PERIOD_S, calls.append, unexpected)
    for _ in range(2):
        calls.clear()
        loop.start()
        assert wait_for(lambda: bool(calls))
        assert loop.stop()


def test_a_thread_that_was_left_behind_never_works_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "STOP_TIMEOUT_S", 0.05)
    release = threading.Event()
    workers: list[threading.Thread] = []

    def work(_: float) -> None:
        workers.append(threading.current_thread())
        release.wait()

    loop = RateLoop(PERIOD_S, work, unexpected)
    loop.start()
    assert wait_for(lambda: bool(workers))
    assert not loop.stop()
    with pytest.raises(RuntimeError, match="still runs"):
        loop.start()
    release.set()
    assert wait_for(lambda: not loop.alive)
    assert len(workers) == 1
    loop.start()
    assert wait_for(lambda: len(workers) > 3)
    assert loop.stop()
    assert len(set(workers[1:])) == 1
    assert workers[0] is not workers[1]


def test_a_stuck_call_shows_as_silence() -> None:
    release = threading.Event()
    loop = RateLoop(PERIOD_S, lambda _: release.wait() and None, unexpected)
    loop.start()
    assert wait_for(lambda: loop.silence_s() > 10 * PERIOD_S)
    release.set()
    loop.stop()


def test_an_exception_ends_the_loop_and_is_reported() -> None:
    reported: list[Exception] = []
    done = threading.Event()

    def on_error(error: Exception) -> None:
        reported.append(error)
        done.set()

    def work(_: float) -> None:
        raise KeyError("bug")

    loop = RateLoop(PERIOD_S, work, on_error)
    loop.start()
    assert done.wait(2.0)
    loop.stop()
    with pytest.raises(KeyError):
        raise reported[0]
