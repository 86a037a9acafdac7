# SPDX-License-Identifier: Apache-2.0
"""Percentiles of the newest samples. No ROS in here."""

import math
import threading
from collections import deque


class LatencyWindow:
    """The newest `size` samples, in whatever unit they are given. May be used from several threads.

    A sliding window forgets a slow call. One that happens at each start, as compilation and caches do, can be left out
    from the beginning as a warm-up.
    """

    def __init__(self, size: int = 100, warm_up: int = 0) -> None:
        """Keep `size` samples, and leave out the first `warm_up`."""
        self._samples: deque[float] = deque(maxlen=size)
        self._warm_up = warm_up
        self._to_leave_out = warm_up
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, sample: float) -> None:
        """Add a finite sample, and forget the oldest one of a full window."""
        with self._lock:
            if self._to_leave_out > 0:
                self._to_leave_out -= 1
            else:
                self._samples.append(sample)

    def clear(self) -> None:
        """Forget all samples, and leave out the next warm-up."""
        with self._lock:
            self._samples.clear()
            self._to_leave_out = self._warm_up

    def percentile(self, percent: float) -> float:
        """Return the smallest sample that at least `percent` of the samples do not exceed, NaN without samples."""
        with self._lock:
            samples = sorted(self._samples)
        return samples[max(math.ceil(len(samples) * percent / 100.0) - 1, 0)] if samples else math.nan

    @property
    def p50(self) -> float:
        """The median, NaN without samples."""
        return self.percentile(50)

    @property
    def p95(self) -> float:
        """The 95th percentile, NaN without samples."""
        return self.percentile(95)
