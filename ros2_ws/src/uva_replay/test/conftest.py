# SPDX-License-Identifier: Apache-2.0
"""Made-up recordings."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest


class MadeUpRecording:
    """Stands for Recording: messages by topic as (receipt time, message), and grey images."""

    def __init__(self, messages: dict[str, list[tuple[float, Any]]], image_period_s: float = 0.5) -> None:
        self.content = messages
        self.image_times_s = np.arange(90.0, 160.0, image_period_s)

    def messages(self, topic: str, start_s: float, end_s: float) -> list[tuple[float, Any]]:
        return [(t, m) for t, m in self.content.get(topic, []) if start_s <= t <= end_s]

    def images(self, topic: str, start_s: float, end_s: float) -> list[tuple[float, np.ndarray]]:
        return [(float(t), np.full((128, 128, 3), 90, np.uint8)) for t in self.image_times_s if start_s <= t <= end_s]


@pytest.fixture
def made_up_recording() -> type[MadeUpRecording]:
    return MadeUpRecording


@pytest.fixture
def message() -> Callable[..., SimpleNamespace]:
    """Return a function that makes a message with a stamp."""

    def make(time_s: float, **content: Any) -> SimpleNamespace:
        stamp = SimpleNamespace(sec=int(time_s), nanosec=round(time_s % 1 * 1e9))
        return SimpleNamespace(header=SimpleNamespace(stamp=stamp), **content)

    return make
