# SPDX-License-Identifier: Apache-2.0
"""Every reason to reject a chunk, and that nothing else is rejected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from arx_x5_driver import chunk as rules
from arx_x5_driver.chunk import Chunk, ChunkGate, ChunkRejectedError
from arx_x5_driver.parameters import DriverParameters

NOW_S = 50.0
LEAD_S = 0.05
MakeChunk = Callable[..., Chunk]


@pytest.fixture
def gate() -> ChunkGate:
    return ChunkGate(DriverParameters().controller_config().chunks)


def changed(array: np.ndarray, index: int, value: object) -> np.ndarray:
    copy = array.copy()
    copy[index] = value
    return copy


def jump(array: np.ndarray) -> np.ndarray:
    return array + np.where(np.arange(16) < 8, 0.0, 0.11)[:, np.newaxis]


TURNED = np.array([[0.0, 0.0, 0.0, 1.0]] * 8 + [[0.0, 0.0, np.sin(0.4), np.cos(0.4)]] * 8)

FAULTS: list[tuple[str, Callable[[Chunk], Chunk]]] = [
    (rules.EMPTY, lambda c: replace(c, times_s=[], positions=[], quaternions=[], widths=[])),
    (rules.LENGTH, lambda c: replace(c, times_s=c.times_s[:-1])),
    (rules.LENGTH, lambda c: replace(c, widths=[])),
    (rules.LENGTH, lambda c: replace(c, positions=c.positions[:3])),
    (rules.NOT_FINITE, lambda c: replace(c, positions=changed(c.positions, 3, np.nan))),
    (rules.NOT_FINITE, lambda c: replace(c, quaternions=changed(c.quaternions, 0, np.inf))),
    (rules.NOT_FINITE, lambda c: replace(c, widths=changed(c.widths, 15, -np.inf))),
    (rules.NOT_FINITE, lambda c: replace(c, times_s=changed(c.times_s, 15, np.inf))),
    (rules.NOT_FINITE, lambda c: replace(c, stamp_s=np.nan)),
    (rules.QUATERNION, lambda c: replace(c, quaternions=1.05 * c.quaternions)),
    (rules.QUATERNION, lambda c: replace(c, quaternions=changed(c.quaternions, 2, 0.0))),
    (rules.FRAME, lambda c: replace(c, frame="camera")),
    (rules.FRAME, lambda c: replace(c, frame="")),
    (rules.TIMES, lambda c: replace(c, times_s=c.times_s[::-1])),
    (rules.TIMES, lambda c: replace(c, times_s=changed(c.times_s, 1, c.times_s[0]))),
    (rules.STEP_JUMP, lambda c: replace(c, positions=jump(c.positions))),
    (rules.STEP_JUMP, lambda c: replace(c, quaternions=TURNED)),
    (rules.STALE, lambda c: replace(c, stamp_s=c.stamp_s - 1.1)),
    (rules.STALE, lambda c: replace(c, times_s=c.times_s - 1.6)),
    (rules.FUTURE, lambda c: replace(c, stamp_s=c.stamp_s + 0.2)),
    (rules.FUTURE, lambda c: replace(c, times_s=c.times_s + 4.0)),
]


@pytest.mark.parametrize(("rule", "spoil"), FAULTS)
def test_faults_are_named_and_leave_no_trace(
    gate: ChunkGate, make_chunk: MakeChunk, rule: str, spoil: Callable[[Chunk], Chunk]
) -> None:
    good = make_chunk(NOW_S, sequence=5)
    with pytest.raises(ChunkRejectedError) as rejection:
        gate.check(spoil(good), NOW_S, LEAD_S)
    assert rejection.value.rule == rule
    assert rule in rules.REJECTIONS
    gate.check(good, NOW_S, LEAD_S)


def test_huge_numbers_are_rejected(gate: ChunkGate, make_chunk: MakeChunk) -> None:
    for field, value in (("quaternions", 1e200), ("positions", 1e200), ("times_s", 1e300)):
        chunk = make_chunk(NOW_S)
        with pytest.raises(ChunkRejectedError):
            gate.check(replace(chunk, **{field: changed(getattr(chunk, field), 15, value)}), NOW_S, LEAD_S)


def test_single_step(gate: ChunkGate, make_chunk: MakeChunk) -> None:
    chunk = make_chunk(NOW_S)
    one = replace(
        chunk,
        times_s=chunk.times_s[-1:],
        positions=chunk.positions[-1:],
        quaternions=chunk.quaternions[-1:],
        widths=chunk.widths[-1:],
    )
    gate.check(one, NOW_S, LEAD_S)


@pytest.mark.parametrize("sequence", [0, 6, 7])
def test_sequence_must_increase(gate: ChunkGate, make_chunk: MakeChunk, sequence: int) -> None:
    gate.check(make_chunk(NOW_S, sequence=7), NOW_S, LEAD_S)
    with pytest.raises(ChunkRejectedError, match="sequence: .* came after 7"):
        gate.check(make_chunk(NOW_S + 0.5, sequence=sequence), NOW_S + 0.5, LEAD_S)
    gate.check(make_chunk(NOW_S + 0.6, sequence=8), NOW_S + 0.6, LEAD_S)


def test_restarted_policy_is_accepted_after_silence(gate: ChunkGate, make_chunk: MakeChunk) -> None:
    gate.check(make_chunk(NOW_S, sequence=700), NOW_S, LEAD_S)
    for later_s in (0.3, 0.6, 0.9):  # rejected chunks do not prolong the silence
        with pytest.raises(ChunkRejectedError):
            gate.check(make_chunk(NOW_S + later_s, sequence=0), NOW_S + later_s, LEAD_S)
    gate.check(make_chunk(NOW_S + 1.01, sequence=0), NOW_S + 1.01, LEAD_S)


def test_chunk_is_a_copy_that_cannot_be_changed(make_chunk: MakeChunk) -> None:
    positions = np.zeros((16, 3))
    chunk = make_chunk(NOW_S, positions=positions)
    positions[:] = np.nan
    assert not chunk.positions.any()
    with pytest.raises(ValueError, match="read-only"):
        chunk.positions[0] = 1.0
