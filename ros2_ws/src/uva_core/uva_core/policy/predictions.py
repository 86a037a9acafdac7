# SPDX-License-Identifier: Apache-2.0
"""What a policy predicts: action sequences and frames, in the base frame and in task units."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from uva_core.actions import ActionSequence


@dataclass(frozen=True)
class ActionPrediction(ActionSequence):
    """One action chunk.

    Attributes:
        time_from_observation_s: (T,) when each action is to be reached, after the newest observation.
        stage_s: seconds spent per stage (of the whole batch).
    """

    time_from_observation_s: NDArray[np.float64]
    stage_s: dict[str, float]


@dataclass(frozen=True)
class VideoPrediction:
    """Future frames of one observation.

    Attributes:
        time_from_observation_s: (n,) the times they predict, after the newest observation; n is h unless fewer frames
            were asked for.
        frames: (n, S, S, 3) uint8 RGB.
        wrist_frames: the same of the wrist camera, where the model predicts it.
        share: of the positions that have been generated; 1 when complete.
        stage_s: seconds spent per stage (of the whole batch).
    """

    time_from_observation_s: NDArray[np.float64]
    frames: NDArray[np.uint8]
    wrist_frames: NDArray[np.uint8] | None = None
    share: float = 1.0
    stage_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class JointPrediction:
    """Actions and the frames that the model expects with them, from one joint latent."""

    actions: ActionPrediction
    video: VideoPrediction

    @property
    def stage_s(self) -> dict[str, float]:
        """Seconds spent per stage (of the whole batch)."""
        return self.video.stage_s
