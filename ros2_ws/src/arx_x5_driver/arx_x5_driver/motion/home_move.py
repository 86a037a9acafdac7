# SPDX-License-Identifier: Apache-2.0
"""The slow joint-space line to the home position."""

from __future__ import annotations

import numpy as np

from arx_x5_driver.array import Array


class HomeMove:
    """A move in which all joints start and arrive together, the fastest at the given speed."""

    def __init__(self, start: Array, goal: Array, speed_rad_s: float) -> None:
        """Move from one position `(6,)` [rad] to another."""
        self._start = start.copy()
        self._distance = goal - start
        self._duration_s = float(np.abs(self._distance).max()) / speed_rad_s
        self._elapsed_s = 0.0

    @property
    def over(self) -> bool:
        """Whether the target has arrived at the goal."""
        return self._elapsed_s >= self._duration_s

    def advance(self, dt_s: float) -> Array:
        """Return the target joint angles `(6,)` [rad] after another `dt_s`."""
        self._elapsed_s += dt_s
        fraction = 1.0 if self.over else self._elapsed_s / self._duration_s
        return self._start + fraction * self._distance
