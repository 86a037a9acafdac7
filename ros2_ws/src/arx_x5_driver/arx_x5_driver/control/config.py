# SPDX-License-Identifier: Apache-2.0
"""The controller's configuration, checked for values that do not fit together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from arx_x5_driver.arm import SILENCE_S
from arx_x5_driver.array import Array
from arx_x5_driver.motion.joint_tracker import HIGHEST_BANDWIDTH
from arx_x5_driver.motion.motion import MotionConfig
from arx_x5_driver.rules.chunk_gate import ChunkRules
from arx_x5_driver.rules.divergence_guard import GuardRules

PAUSE_S = 0.9 * SILENCE_S
"""After this long without a command the arm is taken to stand still. A tenth shorter than the silence after which the
arm's process stops it, because commands reach the arm some time after the period in which they were made."""

_MISSED_PERIODS = 2  # of the loop that must not be such a pause: the arm would be stopped at once


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
        rate_hz, bandwidth_rad_s = 1.0 / self.period_s, self.motion.bandwidth_rad_s
        slowest_hz = math.ceil((_MISSED_PERIODS + 1) / PAUSE_S)
        if rate_hz < slowest_hz:
            raise ValueError(
                f"rate_hz {rate_hz:g} is too low: {_MISSED_PERIODS} missed periods would make a pause of "
                f"{(_MISSED_PERIODS + 1) / rate_hz:.2g} s, which stops the arm at once; "
                f"it must be at least {slowest_hz}"
            )
        if bandwidth_rad_s > HIGHEST_BANDWIDTH * rate_hz * (1.0 + 1e-9):
            raise ValueError(
                f"tracking_bandwidth_rad_s {bandwidth_rad_s:g} is too high for rate_hz {rate_hz:g}: the arm would "
                f"swing about its target; lower it to at most {HIGHEST_BANDWIDTH * rate_hz:g}, "
                f"or raise rate_hz to at least {bandwidth_rad_s / HIGHEST_BANDWIDTH:g}"
            )
        if not self.feedback_timeout_s >= 2.0 * self.period_s:
            raise ValueError(
                f"feedback_timeout_s {self.feedback_timeout_s:g} is shorter than two control periods "
                f"of {self.period_s:g} s: one late measurement would be a fault"
            )
