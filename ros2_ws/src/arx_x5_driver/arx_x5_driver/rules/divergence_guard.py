# SPDX-License-Identifier: Apache-2.0
"""Slow or hold the arm while the world differs from the model's prediction.

A node that compares predicted frames with real ones reports one number for the running chunk, its divergence, in its
own unit. It is no safety measure: all other rules hold whatever it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

OFF = "off"
SLOW = "slow"
HOLD = "hold"
MODES = (OFF, SLOW, HOLD)

_SLOWEST_SHARE = 0.2


@dataclass(frozen=True)
class GuardRules:
    """Thresholds and times of the guard.

    Attributes:
        mode: `OFF`, `SLOW`, or `HOLD`, which slows down, too.
        slow_from: divergence from which on the end effector is slowed.
        hold_from: divergence at which a fifth of its speed is left, or the chunk is given up.
        hold_s: how long the arm then waits before it takes chunks again.
        timeout_s: how long a report counts.
        settle_s: how long the arm has to follow chunks before reports count at all.
    """

    mode: str
    slow_from: float
    hold_from: float
    hold_s: float
    timeout_s: float
    settle_s: float

    def __post_init__(self) -> None:
        if not self.slow_from < self.hold_from:
            raise ValueError(f"guard_slow_from {self.slow_from:g} is not below guard_hold_from {self.hold_from:g}")


class DivergenceGuard:
    """Judge the newest report."""

    def __init__(self, rules: GuardRules) -> None:
        """Start without a report."""
        self._rules = rules
        self._reported_s = -math.inf
        self._settled_s = -math.inf
        self._held_until_s = -math.inf
        self.divergence = math.nan
        """The newest that was reported."""

    def report(self, divergence: float, now_s: float) -> None:
        """Take in a divergence; NaN counts as infinite."""
        self.divergence = math.inf if math.isnan(divergence) else divergence
        self._reported_s = now_s

    def newest(self, now_s: float) -> float:
        """Return the newest divergence while it counts, NaN if there is none: the guard is then blind."""
        return self.divergence if self._reported_s >= now_s - self._rules.timeout_s else math.nan

    def begin(self, now_s: float) -> None:
        """Ignore earlier reports and wait to settle: the arm starts from rest."""
        self._settled_s = now_s + self._rules.settle_s

    def speed_share(self, now_s: float) -> float:
        """Return the allowed share of the Cartesian speeds."""
        rules = self._rules
        if rules.mode == OFF or not self._counts(now_s):
            return 1.0
        excess = (self.divergence - rules.slow_from) / (rules.hold_from - rules.slow_from)
        return 1.0 - (1.0 - _SLOWEST_SHARE) * min(max(excess, 0.0), 1.0)

    def gives_up(self, now_s: float) -> bool:
        """Return whether the running chunk is to be given up now; from then on `holds` for a while."""
        rules = self._rules
        if rules.mode != HOLD or not self._counts(now_s) or self.divergence < rules.hold_from:
            return False
        self._held_until_s = now_s + rules.hold_s
        return True

    def holds(self, now_s: float) -> bool:
        """Return whether chunks are to be rejected."""
        return now_s < self._held_until_s

    def _counts(self, now_s: float) -> bool:
        return self._settled_s <= self._reported_s >= now_s - self._rules.timeout_s
