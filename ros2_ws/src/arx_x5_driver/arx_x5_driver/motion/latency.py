# SPDX-License-Identifier: Apache-2.0
"""Measured delays: percentiles of the newest values, without those of a warm-up.

Chunks carry true stamps, so their execution needs no estimate of their delay; it is only published. The arm's delay
from a command to its effect sets how far ahead targets are taken.
"""

from __future__ import annotations

import math
from collections import deque

from arx_x5_driver.array import Array

_LAG_PERCENTILE = 50.0
_LAG_WINDOW = 400  # periods of motion: 2 s at 200 Hz
_LAG_WARM_UP = 50
_MOVING_RAD_S = 0.2  # slower motion tells little about time
_LONGEST_LATENCY_S = 0.2
_CHANGE_S = 0.005  # from one chunk to the next; their blending covers it


class SlidingPercentile:
    """A percentile of the newest values.

    A running maximum would never forget an outlier, and first values include what happens once: compilation, caches.
    """

    def __init__(self, percentile: float, window: int, warm_up: int) -> None:
        """Keep the newest `window` values, after the first `warm_up`."""
        self._percentile = percentile
        self._warm_up = warm_up
        self._values: deque[float] = deque(maxlen=window)
        self.restart()

    def restart(self) -> None:
        """Forget all values, and leave out the next few again: their source has restarted."""
        self._values.clear()
        self._left_out = 0

    def add(self, value: float) -> None:
        """Take in a finite value."""
        if self._left_out < self._warm_up:
            self._left_out += 1
        else:
            self._values.append(value)

    @property
    def value(self) -> float:
        """The percentile, NaN before there is a value."""
        if not self._values:
            return math.nan
        rank = math.ceil(len(self._values) * self._percentile / 100.0)
        return sorted(self._values)[max(rank - 1, 0)]


class ActionLatency:
    """Time from a command to its effect: as configured, or as the arm shows it while it moves."""

    def __init__(self, fixed_s: float) -> None:
        """Use a fixed latency, or for a negative one what is measured, from 0 on."""
        self._measured = SlidingPercentile(_LAG_PERCENTILE, _LAG_WINDOW, _LAG_WARM_UP) if fixed_s < 0.0 else None
        self.seconds = max(fixed_s, 0.0)
        """In use now."""

    def observe(self, behind: Array, velocity: Array) -> None:
        """Take in the arm's lag behind its command `(6,)` [rad], and the command's velocity `(6,)` [rad/s]."""
        square = float(velocity @ velocity)
        if self._measured is not None and square > _MOVING_RAD_S**2:
            self._measured.add(float(behind @ velocity) / square)

    def renew(self) -> None:
        """Move a small step towards the measured latency; call it when a new chunk begins."""
        if self._measured is None or math.isnan(self._measured.value):
            return
        wanted = min(max(self._measured.value, 0.0), _LONGEST_LATENCY_S)
        self.seconds += min(max(wanted - self.seconds, -_CHANGE_S), _CHANGE_S)
