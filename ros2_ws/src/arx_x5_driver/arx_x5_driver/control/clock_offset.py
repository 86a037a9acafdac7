# SPDX-License-Identifier: Apache-2.0
"""How far the ROS clock is ahead of the driver's own. It changes in small steps: others compute speeds from stamps."""

from __future__ import annotations

from collections import deque

_WINDOW = 20  # comparisons
_SIMULTANEOUS_NS = 100_000  # readings further apart had other processes between them and tell little
_STEP_NS = 500_000  # smaller changes are the comparison's own error
_SLEW_NS = 100_000  # back in small steps, or stamps would go back
_JUMP_NS = 50_000_000


class ClockOffset:
    """The offset between two clocks that run at the same rate, from the newest comparisons; 0 before the first.

    A simulation's clock stands still between its messages, so a comparison finds it late or right: the largest offset
    is the best. Only a jump of a clock makes older comparisons worthless.
    """

    def __init__(self) -> None:
        self._samples: deque[int] = deque(maxlen=_WINDOW)
        self.ns = 0
        """Add this to the driver's time to get ROS time [ns]."""

    def compare(self, before_ns: int, ros_ns: int, after_ns: int) -> None:
        """Take in a reading of the ROS clock and the readings of the driver's clock before and after it [ns]."""
        if self._samples and after_ns - before_ns > _SIMULTANEOUS_NS:
            return
        sample = ros_ns - (before_ns + after_ns) // 2
        if abs(sample - self.ns) > _JUMP_NS:
            self._samples.clear()
            self.ns = sample
        self._samples.append(sample)
        best = max(self._samples)
        if best > self.ns + _STEP_NS:
            self.ns = best
        elif best < self.ns - _STEP_NS:
            self.ns -= _SLEW_NS
