# SPDX-License-Identifier: Apache-2.0
"""What a policy answers: action sequences and frames, in the base frame and in task units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uva_core import poses
from uva_core.poses import POSE_DIM


@dataclass(frozen=True)
class ActionSequence:
    """Actions in time order.

    Attributes:
        vectors: (T, A) in task units. EEF targets are position 3 [m], rotation 6-D, gripper width 1 [m] in the base
            frame; other action spaces keep their own numbers.
    """

    vectors: NDArray[np.float64]

    @classmethod
    def from_poses(cls, pose: NDArray[np.float64], gripper_width: NDArray[np.float64]) -> ActionSequence:
        """Make a sequence of EEF targets: (T, 4, 4) in the base frame and (T,) m."""
        return cls(poses.encode(pose, gripper_width))

    @property
    def poses(self) -> NDArray[np.float64]:
        """(T, 4, 4) EEF targets in the base frame.

        Raises:
            ValueError: the actions are no EEF targets.
        """
        self._require_poses()
        return poses.decode(self.vectors)[0]

    @property
    def gripper_width(self) -> NDArray[np.float64]:
        """(T,) m.

        Raises:
            ValueError: the actions are no EEF targets.
        """
        self._require_poses()
        return self.vectors[:, -1]

    def _require_poses(self) -> None:
        if self.vectors.shape[-1] != POSE_DIM:
            raise ValueError(f"these {self.vectors.shape[-1]}-D actions are no EEF poses")


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
        time_from_observation_s: (h,) the times they predict, after the newest observation.
        frames: (h, S, S, 3) uint8 RGB.
        wrist_frames: the same of the wrist camera, where the model predicts it.
        share: of the positions that have been generated; 1 when complete.
    """

    time_from_observation_s: NDArray[np.float64]
    frames: NDArray[np.uint8]
    wrist_frames: NDArray[np.uint8] | None = None
    share: float = 1.0


@dataclass(frozen=True)
class JointPrediction:
    """Actions and the frames that the model expects with them, from one joint latent."""

    actions: ActionPrediction
    video: VideoPrediction
