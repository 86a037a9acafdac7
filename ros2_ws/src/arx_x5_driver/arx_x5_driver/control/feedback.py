# SPDX-License-Identifier: Apache-2.0
"""Whether the arm still says where it is."""

from __future__ import annotations

import math

from arx_x5_driver.arm import ArmState


class Feedback:
    """The newest measurement, and when it came. One that is no newer than that, or without numbers, is none."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._received_s = -math.inf
        self.newest: ArmState | None = None

    def forget(self) -> None:
        """Take whatever comes next as new: the arm's clock may begin anew."""
        self.newest, self._received_s = None, -math.inf

    def take(self, measured: ArmState | None, now_s: float) -> ArmState | None:
        """Take in what was read from the arm; returns it if it is new."""
        if measured is None or not self._is_news(measured):
            return None
        self.newest, self._received_s = measured, now_s
        return measured

    def fresh(self, now_s: float) -> ArmState | None:
        """The newest measurement unless it is too old."""
        return self.newest if now_s - self._received_s <= self._timeout_s else None

    def _is_news(self, measured: ArmState) -> bool:
        finite = math.isfinite(float(measured.position.sum()) + measured.gripper_width + measured.stamp_s)
        return finite and (self.newest is None or measured.stamp_s > self.newest.stamp_s)
