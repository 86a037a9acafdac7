# SPDX-License-Identifier: Apache-2.0
"""Accept or reject a chunk as a whole: by its numbers, its times, its order, and its distance from the arm."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from arx_x5_driver.array import Array
from arx_x5_driver.chunk import Chunk
from arx_x5_driver.geometry.se3 import Pose
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
    START_JUMP,
    STEP_JUMP_M,
    STEP_JUMP_RAD,
    TIMES,
    RuleBook,
)

_QUATERNION_TOLERANCE = 1e-2  # a float32 model output is off by 1e-6; more than this is no rounding
_SHORTEST_QUATERNION = 0.5  # a shorter one says too little about a rotation to be scaled


class ChunkRejectedError(ValueError):
    """A chunk must not be executed.

    Attributes:
        rule: name of the broken rule.
    """

    def __init__(self, rule: str, detail: str) -> None:
        """Name the rule, and say what broke it."""
        super().__init__(f"{rule}: {detail}")
        self.rule = rule


@dataclass(frozen=True)
class ChunkRules:
    """Limits that a chunk must keep.

    Attributes:
        frame: the only frame that poses may have.
        max_age_s: greatest age of the observation that a chunk is based on.
        max_future_s: how far a stamp may lie in the future (clocks differ a little).
        max_horizon_s: how far ahead the last step may lie.
        max_step_m: longest distance between consecutive steps.
        max_step_rad: largest rotation between consecutive steps.
        max_start_m: longest distance from the arm to the nearest step up to the next one.
        max_start_rad: largest rotation between the same two.
        restart_silence_s: after this long without an accepted chunk a sequence may start again.
        min_interval_s: shortest time from one accepted chunk to the next.
    """

    frame: str
    max_age_s: float
    max_future_s: float
    max_horizon_s: float
    max_step_m: float
    max_step_rad: float
    max_start_m: float
    max_start_rad: float
    restart_silence_s: float
    min_interval_s: float


class ChunkGate:
    """Check chunks against the rules, and remember the newest accepted one for the order of sequences."""

    def __init__(self, rules: ChunkRules, book: RuleBook) -> None:
        """Apply these rules, with the actions of the book."""
        self._rules = rules
        self._book = book
        self._sequence: int | None = None
        self._accepted_s = -math.inf

    def check(self, chunk: Chunk, now_s: float, lead_s: float, arm: Pose) -> list[str]:
        """Raise `ChunkRejectedError` if a chunk breaks a rule that does not clip.

        Args:
            chunk: the chunk as received.
            now_s: time of its receipt.
            lead_s: a step is late if its time comes within this time from now.
            arm: present pose of the end effector.

        Returns:
            Names of the broken rules that clip.
        """
        with np.errstate(over="ignore"):  # absurdly large numbers become infinite, and break the rules
            clipped = self._check_content(chunk)
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
        with np.errstate(over="ignore"):
            return clipped + self._check_start(chunk, now_s + lead_s, arm)

    def accepted(self, chunk: Chunk, now_s: float) -> bool:
        """Note that a chunk is executed: later ones must be newer.

        Returns:
            Whether it came after a silence, as from a new policy.
        """
        silence_s = now_s - self._accepted_s
        self._sequence, self._accepted_s = chunk.sequence, now_s
        return silence_s >= self._rules.restart_silence_s

    def _check_content(self, chunk: Chunk) -> list[str]:
        """Check what does not depend on time; return the names of broken rules that clip."""
        lengths = (len(chunk.times_s), len(chunk.positions), len(chunk.quaternions), len(chunk.widths))
        if max(lengths) == 0:
            raise ChunkRejectedError(EMPTY, "it has no steps")
        if len(set(lengths)) != 1:
            raise ChunkRejectedError(LENGTH, "{} times, {} positions, {} rotations, {} widths".format(*lengths))
        arrays = (chunk.times_s, chunk.positions, chunk.quaternions, chunk.widths, np.array([chunk.stamp_s]))
        if not all(np.isfinite(array).all() for array in arrays):
            raise ChunkRejectedError(NOT_FINITE, "it holds NaN or infinite numbers")
        clipped = []
        norms = np.sqrt((chunk.quaternions**2).sum(axis=1))
        worst = int(np.argmax(np.abs(norms - 1.0)))
        if not abs(norms[worst] - 1.0) <= _QUATERNION_TOLERANCE:
            usable = bool((norms >= _SHORTEST_QUATERNION).all() and np.isfinite(norms).all())
            clipped.append(self._clip(QUATERNION, f"step {worst} has a rotation of length {norms[worst]:.3f}", usable))
        if chunk.frame != self._rules.frame:
            raise ChunkRejectedError(FRAME, f"poses are in '{chunk.frame}', expected '{self._rules.frame}'")
        if not (np.diff(chunk.times_s) > 0.0).all():
            raise ChunkRejectedError(TIMES, "times of the steps do not increase")
        return clipped + self._check_steps(chunk) if len(chunk) > 1 else clipped

    def _check_steps(self, chunk: Chunk) -> list[str]:
        """Check distances between consecutive steps; return the names of broken rules that clip."""
        clipped = []
        distances_m, turns_rad = _apart(
            chunk.positions[1:], chunk.quaternions[1:], chunk.positions[:-1], chunk.quaternions[:-1]
        )
        for rule, jumps, limit, unit_name in (
            (STEP_JUMP_M, distances_m, self._rules.max_step_m, "m"),
            (STEP_JUMP_RAD, turns_rad, self._rules.max_step_rad, "rad"),
        ):
            worst = int(np.argmax(jumps))
            if not jumps[worst] <= limit:
                detail = f"{jumps[worst]:.3f} {unit_name} between steps {worst} and {worst + 1}, limit {limit:g}"
                clipped.append(self._clip(rule, detail, bool(np.isfinite(jumps[worst]))))
        return clipped

    def _check_start(self, chunk: Chunk, late_s: float, arm: Pose) -> list[str]:
        """Check the distance from the arm to the nearest step up to the next one; return the rule's name if it clips.

        Late steps count, too: an arm that was slowed is behind the chunk, but not away from its path.
        """
        rules = self._rules
        begun = bisect_right(chunk.times_s.tolist(), late_s) + 1
        distances_m, turns_rad = _apart(
            chunk.positions[:begun], chunk.quaternions[:begun], arm.position, arm.quaternion
        )
        nearest = int(np.argmin(np.maximum(distances_m / rules.max_start_m, turns_rad / rules.max_start_rad)))
        distance_m, turn_rad = distances_m[nearest], turns_rad[nearest]
        if distance_m <= rules.max_start_m and turn_rad <= rules.max_start_rad:
            return []
        detail = (
            f"the arm is {distance_m:.3f} m and {turn_rad:.3f} rad away from step {nearest}, "
            f"limits {rules.max_start_m:g} m and {rules.max_start_rad:g} rad"
        )
        return [self._clip(START_JUMP, detail, bool(np.isfinite(distance_m + turn_rad)))]

    def _clip(self, rule: str, detail: str, possible: bool) -> str:
        """Return the rule's name if it clips and this breach can be clipped; else reject the chunk."""
        if not possible or self._book.action(rule) != CLIP:
            raise ChunkRejectedError(rule, detail)
        return rule


def _apart(positions: Array, quaternions: Array, others: Array, other_quaternions: Array) -> tuple[Array, Array]:
    """Return distances [m] and rotations [rad] `(T,)` of T poses from T others, or from a single one."""
    distances_m: Array = np.sqrt(((positions - others) ** 2).sum(axis=1))
    cosines = np.abs((quaternions * other_quaternions).sum(axis=1))
    norms = np.sqrt((quaternions**2).sum(axis=-1) * (other_quaternions**2).sum(axis=-1))
    return distances_m, 2.0 * np.arccos((cosines / norms).clip(max=1.0))


def _check_times(chunk: Chunk, rules: ChunkRules, now_s: float, lead_s: float) -> None:
    """Reject a chunk that is too old, too early, or over."""
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
