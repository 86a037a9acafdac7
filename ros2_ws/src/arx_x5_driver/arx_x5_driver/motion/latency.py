# SPDX-License-Identifier: Apache-2.0
"""The arm's delay from a command to its effect, which sets how far ahead targets are taken."""

from __future__ import annotations

import math

from arx_x5_driver.array import Array
from uva_node_utils.latency import LatencyWindow

_LAG_WINDOW = 400  # periods of motion: 2 s at 200 Hz
_LAG_WARM_UP = 50
_MOVING_RAD_S = 0.2  # slower motion says little about time
_LONGEST_LATENCY_S = 0.2
_CHANGE_S = 0.005  # from one chunk to the next; their blending covers it


class ActionLatency:
    """Time from a command to its effect: as configured, or as the arm shows it while it moves."""

    def __init__(self, fixed_s: float) -> None:
        """Use a fixed latency, or for a negative one what is measured, from 0 on."""
        self._measured = LatencyWindow(_LAG_WINDOW, _LAG_WARM_UP) if fixed_s < 0.0 else None
        self.seconds = max(fixed_s, 0.0)
        """In use now."""

    def observe(self, behind: Array, velocity: Array) -> None:
        """Take in by how much the arm is behind its command `(6,)` [rad], which moves at a velocity `(6,)` [rad/s]."""
        square = float(velocity @ velocity)
        if self._measured is not None and square > _MOVING_RAD_S**2:
            self._measured.add(float(behind @ velocity) / square)

    def renew(self) -> None:
        """Move a small step towards the measured latency; call it when a new chunk begins."""
        median_s = self._measured.p50 if self._measured is not None else math.nan
        if math.isnan(median_s):
            return
        wanted = min(max(median_s, 0.0), _LONGEST_LATENCY_S)
        self.seconds += min(max(wanted - self.seconds, -_CHANGE_S), _CHANGE_S)
