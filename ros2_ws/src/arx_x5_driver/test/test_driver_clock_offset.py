# SPDX-License-Identifier: Apache-2.0
"""Stamps are steady while the clocks are, and follow them at once when they jump."""

from __future__ import annotations

import random

from arx_x5_driver.control.clock_offset import ClockOffset

MS = 1_000_000
AHEAD = 1_700_000_000_000 * MS


def compare(offset: ClockOffset, now_ns: int, ahead_ns: int, late_ns: int = 0, gap_ns: int = 2_000) -> None:
    offset.compare(now_ns, now_ns + gap_ns // 2 + ahead_ns - late_ns, now_ns + gap_ns)


def test_the_error_of_a_comparison_does_not_show_in_stamps() -> None:
    offset, errors = ClockOffset(), random.Random(0)
    seen = set()
    for step in range(200):
        compare(offset, 50 * MS * step, AHEAD, late_ns=errors.randrange(-50_000, 50_000))
        seen.add(offset.ns)
    assert len(seen) == 1
    assert abs(seen.pop() - AHEAD) <= 50_000


def test_readings_that_were_torn_apart_do_not_count_but_for_the_first() -> None:
    offset = ClockOffset()
    compare(offset, 0, AHEAD, late_ns=3 * MS, gap_ns=8 * MS)
    assert abs(offset.ns - AHEAD) <= 4 * MS
    compare(offset, 50 * MS, AHEAD)
    assert offset.ns == AHEAD
    compare(offset, 100 * MS, AHEAD + 2 * MS, gap_ns=8 * MS)
    assert offset.ns == AHEAD


def test_a_jump_counts_at_once_in_both_directions() -> None:
    offset = ClockOffset()
    for ahead in (AHEAD, AHEAD + 5_000 * MS, AHEAD):
        for step in range(30):
            compare(offset, 50 * MS * step, ahead)
            assert offset.ns == ahead


def test_a_clock_that_ticks_slowly_settles() -> None:
    offset, phase = ClockOffset(), random.Random(1)
    compare(offset, 0, AHEAD)
    for step in range(1, 100):
        before = offset.ns
        # A beat between the two: for a while it is always late.
        compare(offset, 50 * MS * step, AHEAD, late_ns=phase.randrange(4 * MS, 6 * MS) if step < 60 else 0)
        assert offset.ns >= before - MS // 10, "stamps 5 ms apart stay in order"
    assert offset.ns == AHEAD
