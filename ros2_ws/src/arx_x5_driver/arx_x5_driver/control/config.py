# SPDX-License-Identifier: Apache-2.0
"""The controller's configuration, checked for values that do not fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arx_x5_driver.chunk import ChunkRules
from arx_x5_driver.motion.motion import MotionConfig
from arx_x5_driver.rules.divergence_guard import GuardRules

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ControllerConfig:
    """The controller's configuration. Raises `ValueError` for values that do not fit together.

    Attributes:
        motion: limits and filters of the motion.
        chunks: rules on chunks.
        guard: when to slow or hold the arm because the world diverges from the prediction.
        actions: the action of each rule, by the rule's name.
        period_s: nominal control period; after a longer pause the motion continues as if two periods had passed.
        state_latency_s: age of measurements at their stamps.
        feedback_timeout_s: a measurement's stamp that has not advanced for this long is a fault.
        chunk_timeout_s: a running chunk that is not replaced this long after its receipt is aborted.
        home_position: joint angles of the home position `(6,)` [rad].
        home_speed_rad_s: speed of the fastest joint during the move home.
    """

    motion: MotionConfig
    chunks: ChunkRules
    guard: GuardRules
    actions: Mapping[str, str]
    period_s: float
    state_latency_s: float
    feedback_timeout_s: float
    chunk_timeout_s: float
    home_position: Array
    home_speed_rad_s: float

    def __post_init__(self) -> None:
        bounds = self.motion.bounds()
        home, low, high = self.home_position, bounds.position_min[:-1], bounds.position_max[:-1]
        if home.shape != low.shape or not ((home >= low) & (home <= high)).all():
            raise ValueError(f"home_position {home} is not between {low} and {high}")
        if not self.feedback_timeout_s >= 2.0 * self.period_s:
            raise ValueError(
                f"feedback_timeout_s {self.feedback_timeout_s:g} is shorter than two control periods "
                f"of {self.period_s:g} s: one late measurement would be a fault"
            )
