# SPDX-License-Identifier: Apache-2.0
"""The gate rejects a chunk for every reason there is, and for nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from arx_x5_driver.chunk import Chunk
from arx_x5_driver.geometry.se3 import Pose, quaternion_from_rpy
from arx_x5_driver.parameters import DriverParameters
from arx_x5_driver.rules import rules
from arx_x5_driver.rules.chunk_gate import ChunkGate, ChunkRejectedError
from arx_x5_driver.rules.rules import RuleBook, default_actions

CHUNK_RULES = {rule.name for rule in rules.CHUNK_RULES}

NOW_S = 50.0
LEAD_S = 0.05
ARM = Pose(np.array([0.35, 0.0, 0.295]), quaternion_from_rpy(0.6, 0.0, 0.0))
"""Where the chunks of `make_chunk` begin."""
RULES = DriverParameters().controller_config().chunks
MakeChunk = Callable[..., Chunk]


def make_gate(book: RuleBook | None = None) -> ChunkGate:
    return ChunkGate(RULES, book or RuleBook(default_actions()))


def accept(gate: ChunkGate, chunk: Chunk, now_s: float) -> None:
    gate.check(chunk, now_s, LEAD_S, ARM)
    gate.accepted(chunk, now_s)


@pytest.fixture
def gate() -> ChunkGate:
    return make_gate()


def changed(array: np.ndarray, index: int, value: object) -> np.ndarray:
    copy = array.copy()
    copy[index] = value
    return copy


def jump(array: np.ndarray) -> np.ndarray:
    return array + np.where(np.arange(16) < 8, 0.0, 0.11)[:, np.newaxis]


def moved(pose: Pose, way_m: float, turn_rad: float = 0.0) -> Pose:
    turned = Rotation.from_quat(pose.quaternion) * Rotation.from_rotvec([0.0, 0.0, turn_rad])
    return Pose(pose.position - [0.0, way_m, 0.0], turned.as_quat())


TURNED = np.array([ARM.quaternion] * 8 + [moved(ARM, 0.0, 0.8).quaternion] * 8)

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
    (rules.STEP_JUMP_M, lambda c: replace(c, positions=jump(c.positions))),
    (rules.STEP_JUMP_RAD, lambda c: replace(c, quaternions=TURNED)),
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
        gate.check(spoil(good), NOW_S, LEAD_S, ARM)
    assert rejection.value.rule == rule
    assert rule in CHUNK_RULES
    gate.check(good, NOW_S, LEAD_S, ARM)


ODD_NUMBERS = np.array([np.nan, np.inf, -np.inf, 0.0, -1.0, 1.0, -1e300, 1e300, 1e160, 5e-324])


def garbage(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers of a chunk, or all kinds of numbers, or some of both."""
    odd = random.random(shape) < random.choice([0.0, 0.0, 0.0, 0.0, 0.1, 1.0])
    return np.where(odd, random.choice(ODD_NUMBERS, shape), random.uniform(0.0, 0.05, shape))


@settings(max_examples=2 * settings().max_examples, deadline=None)
@given(
    st.integers(0, 3),
    st.sampled_from([(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 2, 0), (0, 0, 0, 1)]),
    st.integers(0),
)
def test_whatever_comes_in_is_accepted_or_named(
    make_chunk: MakeChunk, steps: int, more: tuple[int, int, int, int], seed: int
) -> None:
    """Numbers of any kind, in arrays of any lengths; what passes is fit for interpolation."""
    random = np.random.default_rng(seed)
    n = [steps + extra for extra in more]
    with np.errstate(invalid="ignore"):
        times_s = NOW_S + np.cumsum(garbage(random, n[0])) + random.uniform(0.0, 0.2)
    chunk = make_chunk(
        NOW_S,
        frame=random.choice(["base_link", "base_link", "base_link", "map"]),
        times_s=times_s,
        positions=garbage(random, n[1], 3),
        quaternions=0.1 * garbage(random, n[2], 4) + [0.0, 0.0, 0.0, random.choice([1.0, 1.0, 0.0])],
        widths=garbage(random, n[3]),
    )
    try:
        make_gate().check(chunk, NOW_S, LEAD_S, ARM)
    except ChunkRejectedError as rejection:
        assert rejection.rule in CHUNK_RULES
        return
    assert len(chunk) == len(chunk.positions) == len(chunk.quaternions) == len(chunk.widths) > 0
    assert np.isfinite(np.hstack((chunk.positions, chunk.quaternions, chunk.widths[:, np.newaxis]))).all()
    assert (np.diff(chunk.times_s) > 0.0).all()
    np.testing.assert_allclose(np.linalg.norm(chunk.quaternions, axis=1), 1.0, atol=0.011)


def test_huge_numbers_are_rejected(gate: ChunkGate, make_chunk: MakeChunk) -> None:
    for field, value in (("quaternions", 1e200), ("positions", 1e200), ("times_s", 1e300)):
        chunk = make_chunk(NOW_S)
        with pytest.raises(ChunkRejectedError):
            gate.check(replace(chunk, **{field: changed(getattr(chunk, field), 15, value)}), NOW_S, LEAD_S, ARM)


def test_single_step(gate: ChunkGate, make_chunk: MakeChunk) -> None:
    chunk = make_chunk(NOW_S)
    one = replace(
        chunk,
        times_s=chunk.times_s[-1:],
        positions=chunk.positions[-1:],
        quaternions=chunk.quaternions[-1:],
        widths=chunk.widths[-1:],
    )
    gate.check(one, NOW_S, LEAD_S, ARM)


@pytest.mark.parametrize("sequence", [0, 6, 7])
def test_sequence_must_increase(gate: ChunkGate, make_chunk: MakeChunk, sequence: int) -> None:
    accept(gate, make_chunk(NOW_S, sequence=7), NOW_S)
    with pytest.raises(ChunkRejectedError, match="sequence: .* came after 7"):
        gate.check(make_chunk(NOW_S + 0.5, sequence=sequence), NOW_S + 0.5, LEAD_S, ARM)
    gate.check(make_chunk(NOW_S + 0.6, sequence=8), NOW_S + 0.6, LEAD_S, ARM)


def test_restarted_policy_is_accepted_after_silence(gate: ChunkGate, make_chunk: MakeChunk) -> None:
    accept(gate, make_chunk(NOW_S, sequence=700), NOW_S)
    for later_s in (0.3, 0.6, 0.9):  # rejected chunks do not prolong the silence
        with pytest.raises(ChunkRejectedError):
            gate.check(make_chunk(NOW_S + later_s, sequence=0), NOW_S + later_s, LEAD_S, ARM)
    gate.check(make_chunk(NOW_S + 1.01, sequence=0), NOW_S + 1.01, LEAD_S, ARM)


def test_a_flood_is_thinned_out(gate: ChunkGate, make_chunk: MakeChunk) -> None:
    taken = []
    for i in range(100):
        now_s = NOW_S + 0.001 * i
        try:
            accept(gate, make_chunk(now_s, sequence=i), now_s)
            taken.append(now_s)
        except ChunkRejectedError as rejection:
            assert rejection.rule == rules.FLOOD
    assert len(taken) == pytest.approx(10, abs=1)
    assert min(np.diff(taken)) >= 0.01


@pytest.mark.parametrize(
    ("arm", "accepted"),
    [
        (moved(ARM, 0.09), True),
        (moved(ARM, 0.11), False),
        (moved(ARM, 0.76), False),
        (moved(ARM, 0.0, 0.59), True),
        (moved(ARM, 0.0, 0.61), False),
        (Pose(ARM.position, -ARM.quaternion), True),
        (moved(ARM, -0.135), False),  # near the last step only
    ],
)
def test_a_chunk_begins_at_the_arm(gate: ChunkGate, make_chunk: MakeChunk, arm: Pose, accepted: bool) -> None:
    """A wrong transform of frames makes poses that are near each other but far from the arm."""
    chunk = make_chunk(NOW_S, ARM)
    if accepted:
        assert gate.check(chunk, NOW_S, LEAD_S, arm) == []
        return
    with pytest.raises(ChunkRejectedError, match=r"start_jump: the arm is .* away from step 0, limits 0\.1 m and 0\.6"):
        gate.check(chunk, NOW_S, LEAD_S, arm)
    book = RuleBook({**default_actions(), rules.START_JUMP: rules.CLIP})
    assert make_gate(book).check(chunk, NOW_S, LEAD_S, arm) == [rules.START_JUMP]


def test_an_arm_behind_its_chunk_is_still_on_its_path(gate: ChunkGate, make_chunk: MakeChunk) -> None:
    ways = np.linspace(0.05, 0.8, 16)[:, np.newaxis] * [0.0, 1.0, 0.0]
    chunk = make_chunk(NOW_S - 0.5, positions=ARM.position + ways)
    gate.check(chunk, NOW_S, LEAD_S, ARM)
    with pytest.raises(ChunkRejectedError, match="away from step 5"):
        gate.check(chunk, NOW_S, LEAD_S, moved(ARM, -0.6))


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        (rules.QUATERNION, lambda c: replace(c, quaternions=1.05 * c.quaternions)),
        (rules.STEP_JUMP_M, lambda c: replace(c, positions=jump(c.positions))),
        (rules.STEP_JUMP_RAD, lambda c: replace(c, quaternions=TURNED)),
    ],
)
def test_a_breach_that_can_be_clipped_is_clipped_if_so_configured(
    make_chunk: MakeChunk, rule: str, spoil: Callable[[Chunk], Chunk]
) -> None:
    book = RuleBook({**default_actions(), rule: rules.CLIP})
    assert make_gate(book).check(spoil(make_chunk(NOW_S)), NOW_S, LEAD_S, ARM) == [rule]


def test_a_clipped_rule_counts_only_for_chunks_that_are_executed(make_rig: Callable, make_chunk: MakeChunk) -> None:
    rig = make_rig(rule_quaternion="clip", rule_step_jump_m="clip")
    rig.enable()
    odd = replace(make_chunk(rig.now_s), quaternions=1.05 * make_chunk(rig.now_s).quaternions)
    for wrong in ({"frame": "camera"}, {"positions": jump(odd.positions), "quaternions": TURNED}):
        with pytest.raises(ChunkRejectedError):
            rig.controller.offer(replace(odd, **wrong), rig.now_s)
    expected = {rules.FRAME: 1, rules.STEP_JUMP_RAD: 1}
    assert {rule: count for rule, count in rig.snapshot().rule_counts.items() if count} == expected
    rig.controller.offer(odd, rig.now_s)
    assert rig.snapshot().rule_counts[rules.QUATERNION] == 1


def test_a_rotation_of_length_zero_is_never_clipped(make_chunk: MakeChunk) -> None:
    book = RuleBook({**default_actions(), rules.QUATERNION: rules.CLIP})
    chunk = make_chunk(NOW_S)
    with pytest.raises(ChunkRejectedError, match="rotation of length 0"):
        make_gate(book).check(replace(chunk, quaternions=changed(chunk.quaternions, 2, 0.0)), NOW_S, LEAD_S, ARM)


def test_chunk_is_a_copy_that_cannot_be_changed(make_chunk: MakeChunk) -> None:
    positions = np.zeros((16, 3))
    chunk = make_chunk(NOW_S, positions=positions)
    positions[:] = np.nan
    assert not chunk.positions.any()
    with pytest.raises(ValueError, match="read-only"):
        chunk.positions[0] = 1.0
