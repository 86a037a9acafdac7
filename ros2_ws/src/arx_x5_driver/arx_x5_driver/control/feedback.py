# SPDX-License-Identifier: Apache-2.0
"""Whether the arm still reports where it is."""

from __future__ import annotations

import math

from arx_x5_driver.arm import ArmState


class Feedback:
    """The newest measurement and the time of its receipt.

    A measurement is left out if it is not newer than the last one, if it holds NaN or infinite numbers, or if its stamp
    lies in the future by more than the timeout: no later one would be newer than that.
    """

    def __init__(self, timeout_s: float) -> None:
        """Take a measurement as too old once it was received this long ago."""
        self._timeout_s = timeout_s
        self._received_s = -math.inf
        self.newest: ArmState | None = None
        self.problem = ""
        """Why the last measurement was left out, as the end of a sentence; empty if there is nothing to say."""

    def forget(self) -> None:
        """Take the next measurement as new, whatever its stamp: the arm's clock may have started again."""
        self.newest, self._received_s, self.problem = None, -math.inf, ""

    def take(self, measured: ArmState | None, now_s: float) -> ArmState | None:
        """Take in what was read from the arm; return it if it is new and can be used."""
        if measured is None:
            return None
        ahead_s = measured.stamp_s - now_s
        if not math.isfinite(float(measured.position.sum()) + measured.gripper_width + measured.stamp_s):
            self.problem = ": the newest one holds NaN or infinite numbers"
        elif ahead_s > self._timeout_s:
            self.problem = f": the newest one is stamped {ahead_s:.2f} s in the future"
        elif self.newest is None or measured.stamp_s > self.newest.stamp_s:
            self.newest, self._received_s, self.problem = measured, now_s, ""
            return measured
        return None

    def fresh(self, now_s: float) -> ArmState | None:
        """Return the newest measurement, None if it is too old."""
        return self.newest if now_s - self._received_s <= self._timeout_s else None
