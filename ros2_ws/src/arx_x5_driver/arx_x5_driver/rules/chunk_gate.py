# SPDX-License-Identifier: Apache-2.0
"""Accepts or rejects a chunk as a whole: what it holds, when it comes, and where it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from arx_x5_driver.array import Array
from arx_x5_driver.chunk import Chunk
from arx_x5_driver.rules.rules import (  # fmt: skip
    CLIP,
    EMPTY,
    FLOOD,
    FRAME,
    FUTURE,
    LENGTH,
    NOT_FINITE,
    QUATERNION,
    SEQUENCE,
    STALE,
    STEP_JUMP_M,
    STEP_JUMP_RAD,
    TIMES,
    RuleBook,
)

_QUATERNION_TOLERANCE = 1e-2  # a float32 model output is off by 1e-6; more than this is no rounding
_SHORTEST_QUATERNION = 0.5  # one that is shorter says too little about a rotation to be scaled


class ChunkRejectedError(ValueError):
    """A chunk must not be executed: `rule` is that rule's name, the message says what was wrong."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule


@dataclass(frozen=True)
class ChunkRules:
    """What a chunk has to keep to.

    Attributes:
        frame: the only frame that poses may have.
        max_age_s: oldest observation that a chunk may be based on.
        max_future_s: how far a stamp may lie in the future (clocks differ a little).
        max_horizon_s: how far ahead the last step may lie.
        max_step_m: longest way between consecutive steps.
        max_step_rad: largest turn between consecutive steps.
        restart_silence_s: after this long without an accepted chunk a sequence may start again.
        min_interval_s: shortest time from one accepted chunk to the next.
    """

    frame: str
    max_age_s: float
    max_future_s: float
    max_horizon_s: float
    max_step_m: float
    max_step_rad: float
    restart_silence_s: float
    min_interval_s: float


class ChunkGate:
    """Lets chunks through that are fit for execution; remembers the newest one for the order of sequences."""

    def __init__(self, rules: ChunkRules, book: RuleBook) -> None:
        self._rules = rules
        self._book = book
        self._sequence: int | None = None
        self._accepted_s = -math.inf

    def check(self, chunk: Chunk, now_s: float, lead_s: float) -> list[str]:
        """Raise `ChunkRejectedError` for an unfit chunk.

        Args:
            chunk: what was received.
            now_s: when it was received.
            lead_s: a step counts as late when it is to be reached within this time from now.

        Returns:
            The rules that a chunk which is fit breaks nevertheless: those that clip.
        """
        with np.errstate(over="ignore"):  # absurdly large numbers become infinite, and fail the rules
            borne = self._check_content(chunk)
        _check_times(chunk, self._rules, now_s, lead_s)
        silence_s = now_s - self._accepted_s
        if (
            self._sequence is not None
            and chunk.sequence <= self._sequence
            and silence_s < self._rules.restart_silence_s
        ):
            raise ChunkRejectedError(SEQUENCE, f"{chunk.sequence} came after {self._sequence}")
        if silence_s < self._rules.min_interval_s:
            raise ChunkRejectedError(FLOOD, f"it came {silence_s * 1e3:.1f} ms after the last one")
        return borne

    def accepted(self, chunk: Chunk, now_s: float) -> bool:
        """The chunk is executed: later ones must be newer. Whether it came after a silence, as from a new policy."""
        silence_s = now_s - self._accepted_s
        self._sequence, self._accepted_s = chunk.sequence, now_s
        return silence_s >= self._rules.restart_silence_s

    def _check_content(self, chunk: Chunk) -> list[str]:
        """Reject what is wrong with a chunk at any time; what can be borne is returned."""
        lengths = (len(chunk.times_s), len(chunk.positions), len(chunk.quaternions), len(chunk.widths))
        if max(lengths) == 0:
            raise ChunkRejectedError(EMPTY, "it has no steps")
        if len(set(lengths)) != 1:
            raise ChunkRejectedError(LENGTH, "{} times, {} positions, {} rotations, {} widths".format(*lengths))
        arrays = (chunk.times_s, chunk.positions, chunk.quaternions, chunk.widths, np.array([chunk.stamp_s]))
        if not all(np.isfinite(array).all() for array in arrays):
            raise ChunkRejectedError(NOT_FINITE, "it holds NaN or infinite numbers")
        borne = []
        norms = np.sqrt((chunk.quaternions**2).sum(axis=1))
        worst = int(np.argmax(np.abs(norms - 1.0)))
        if not abs(norms[worst] - 1.0) <= _QUATERNION_TOLERANCE:
            usable = bool((norms >= _SHORTEST_QUATERNION).all() and np.isfinite(norms).all())
            borne.append(self._borne(QUATERNION, f"step {worst} has a rotation of length {norms[worst]:.3f}", usable))
        if chunk.frame != self._rules.frame:
            raise ChunkRejectedError(FRAME, f"poses are in '{chunk.frame}', expected '{self._rules.frame}'")
        if not (np.diff(chunk.times_s) > 0.0).all():
            raise ChunkRejectedError(TIMES, "times of the steps do not increase")
        return borne + self._check_jumps(chunk, norms) if len(chunk) > 1 else borne

    def _check_jumps(self, chunk: Chunk, norms: Array) -> list[str]:
        """Reject a chunk whose consecutive steps are too far apart; what can be borne is returned."""
        borne = []
        ways = np.sqrt((np.diff(chunk.positions, axis=0) ** 2).sum(axis=1))
        unit = chunk.quaternions / norms[:, np.newaxis]
        cosines = np.abs((unit[1:] * unit[:-1]).sum(axis=1)).clip(max=1.0)
        turns = 2.0 * np.arccos(cosines)
        for rule, jumps, limit, unit_name in (
            (STEP_JUMP_M, ways, self._rules.max_step_m, "m"),
            (STEP_JUMP_RAD, turns, self._rules.max_step_rad, "rad"),
        ):
            worst = int(np.argmax(jumps))
            if not jumps[worst] <= limit:
                detail = f"{jumps[worst]:.3f} {unit_name} between steps {worst} and {worst + 1}, limit {limit:g}"
                borne.append(self._borne(rule, detail, bool(np.isfinite(jumps[worst]))))
        return borne

    def _borne(self, rule: str, detail: str, bearable: bool) -> str:
        """The rule if it clips a bearable breach; reject the chunk for any other."""
        if not bearable or self._book.action(rule) != CLIP:
            raise ChunkRejectedError(rule, detail)
        return rule


def _check_times(chunk: Chunk, rules: ChunkRules, now_s: float, lead_s: float) -> None:
    """Reject a chunk that is too old or too early for execution now."""
    age_s = now_s - chunk.stamp_s
    if age_s > rules.max_age_s:
        raise ChunkRejectedError(STALE, f"its observation is {age_s:.2f} s old, limit {rules.max_age_s:g} s")
    if age_s < -rules.max_future_s:
        raise ChunkRejectedError(FUTURE, f"its stamp is {-age_s:.2f} s in the future")
    if chunk.times_s[-1] <= now_s + lead_s:
        late_s = now_s + lead_s - chunk.times_s[-1]
        raise ChunkRejectedError(STALE, f"all its steps are over, the last one {late_s:.2f} s ago")
    if chunk.times_s[-1] > now_s + rules.max_horizon_s:
        raise ChunkRejectedError(FUTURE, f"its last step is due in {chunk.times_s[-1] - now_s:.2f} s")
