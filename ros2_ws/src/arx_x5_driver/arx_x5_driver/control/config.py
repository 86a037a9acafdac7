# SPDX-License-Identifier: Apache-2.0
"""All that the controller needs to know, found to fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from arx_x5_driver.array import Array
from arx_x5_driver.motion.motion import MotionConfig
from arx_x5_driver.rules.chunk_gate import ChunkRules
from arx_x5_driver.rules.divergence_guard import GuardRules


@dataclass(frozen=True)
class ControllerConfig:
    """What the controller needs to know.

    Attributes:
        motion: limits and filters of the motion.
        chunks: rules on chunks.
        guard: when to be careful.
        actions: what is done where a rule is broken, by its name.
        period_s: nominal control period; after a longer pause the motion goes on as if two had passed.
        state_latency_s: age of measurements at their stamps.
        feedback_timeout_s: measurements whose stamp has not advanced for this long are a fault.
        chunk_timeout_s: a chunk that was received this long ago is given up.
        home_position: joint angles of the home position `(6,)` [rad].
        home_speed_rad_s: speed of the fastest joint on the way there.
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
