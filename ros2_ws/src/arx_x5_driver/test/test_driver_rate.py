# SPDX-License-Identifier: Apache-2.0
"""The loop keeps its rate, leaves out what it missed, and reports what its work raises."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

from arx_x5_driver.rate import RateLoop

PERIOD_S = 0.01


def unexpected(error: Exception) -> None:
    raise error


def test_rate_has_no_drift() -> None:
    calls: list[float] = []
    loop = RateLoop(PERIOD_S, calls.append, unexpected)
    assert np.isnan(loop.statistics().work_p99_s)
    loop.start()
    time.sleep(0.5)
    loop.stop()
    loop.stop()
    count = len(calls)
    assert 0.5 / PERIOD_S * 0.6 < count <= 0.5 / PERIOD_S + 2
    # Every call belongs to a deadline of the grid, however late it came.
    assert (np.diff(calls) > 0.0).all()
    assert calls[-1] - calls[0] >= (count - 1 - 1) * PERIOD_S
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
    time.sleep(5 * PERIOD_S)
    loop.stop()
    assert calls
    assert asked == [20]
    assert loop.statistics().realtime is permitted


def test_missed_periods_are_left_out() -> None:
    calls: list[float] = []

    def work(now_s: float) -> None:
        calls.append(now_s)
        if len(calls) == 3:
            time.sleep(10.5 * PERIOD_S)

    loop = RateLoop(PERIOD_S, work, unexpected)
    loop.start()
    time.sleep(30 * PERIOD_S)
    loop.stop()
    assert loop.statistics().missed >= 9
    assert len(calls) <= 22


def test_it_can_start_again() -> None:
    calls: list[float] = []
    loop = RateLoop(PERIOD_S, calls.append, unexpected)
    for _ in range(2):
        calls.clear()
        loop.start()
        time.sleep(5 * PERIOD_S)
        loop.stop()
        assert calls


def test_a_stuck_call_shows_as_silence() -> None:
    release = threading.Event()
    loop = RateLoop(PERIOD_S, lambda _: release.wait() and None, unexpected)
    loop.start()
    time.sleep(0.1)
    assert loop.silence_s() > 0.08
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
