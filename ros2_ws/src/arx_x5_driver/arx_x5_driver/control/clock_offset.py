# SPDX-License-Identifier: Apache-2.0
"""How far the ROS clock is ahead of the driver's own, steadily: who listens computes speeds from stamps."""

from __future__ import annotations

from collections import deque

_WINDOW = 20  # comparisons
_SIMULTANEOUS_NS = 100_000  # if other processes had the CPU between the readings, they tell little
_STEP_NS = 500_000  # smaller changes are the comparison's own error
_SLEW_NS = 100_000  # back in small steps, or stamps would go back
_JUMP_NS = 50_000_000


class ClockOffset:
    """The offset by the newest comparisons, of clocks that run at the same rate; 0 before the first.

    A simulation's clock stands still between its messages, so a comparison finds it late, or right: the largest of some
    is the best. Only a jump of a clock makes the older ones worthless.
    """

    def __init__(self) -> None:
        self._samples: deque[int] = deque(maxlen=_WINDOW)
        self.ns = 0
        """To be added to the driver's time."""

    def compare(self, before_ns: int, ros_ns: int, after_ns: int) -> None:
        """Take in what the ROS clock said between two readings of the driver's clock."""
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
