# SPDX-License-Identifier: Apache-2.0
"""Seconds that a prediction spends in each stage."""

from __future__ import annotations

import time

import torch


class Stopwatch:
    """Measure seconds between laps, by name. On a GPU a lap waits until its work is done."""

    def __init__(self, device: torch.device) -> None:
        self.laps: dict[str, float] = {}
        self._device = device
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Add the time since the last lap to the stage `name`."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now
