# SPDX-License-Identifier: Apache-2.0
"""Percentiles of the newest samples. No ROS in here."""

import threading
from collections import deque

import numpy as np


class LatencyWindow:
    """The newest `size` samples, in whatever unit they are given. May be used from several threads.

    The window slides, so that a slow first call does not count for ever.
    """

    def __init__(self, size: int = 100) -> None:
        self._samples: deque[float] = deque(maxlen=size)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, sample: float) -> None:
        """Add a sample, and drop the oldest one of a full window."""
        with self._lock:
            self._samples.append(sample)

    def clear(self) -> None:
        """Drop all samples."""
        with self._lock:
            self._samples.clear()

    def percentile(self, percent: float) -> float:
        """Return a percentile of the samples in the window, NaN if there are none."""
        with self._lock:
            samples = list(self._samples)
        return float(np.percentile(samples, percent)) if samples else float("nan")

    @property
    def p50(self) -> float:
        """The median, NaN without samples."""
        return self.percentile(50)

    @property
    def p95(self) -> float:
        """The 95th percentile, NaN without samples."""
        return self.percentile(95)
