# SPDX-License-Identifier: Apache-2.0
"""What the model sees at one moment, and the robot state as it sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from uva_core import poses


@dataclass(frozen=True)
class Observation:
    """What the model sees at one moment.

    Attributes:
        stamp_s: time of the newest frame.
        frames: (h, 3, S, S) float32 in [-1, 1], oldest first.
        eef_pose: (h, 4, 4) EEF poses in the base frame, at the frames' times.
        gripper_width: (h,) m.
        start_pose: (4, 4) EEF pose at the start of the episode.
        frame_stamps_s: (h,) times at which the frames were taken, where they are known.
        wrist_frames: (h, 3, S, S) of a second camera, for models that see one.
        state: (n, P) robot state in task units, for models whose state is no EEF pose.
        past_actions: (T, A) actions before the present in task units (EEF targets in the base frame), for models
            that see them; None: a learned token stands in.
        text: (E,) language latent, for models that are told what to do.
    """

    stamp_s: float
    frames: Tensor
    eef_pose: NDArray[np.float64] = field(default_factory=lambda: np.eye(4)[None])
    gripper_width: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    start_pose: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    frame_stamps_s: NDArray[np.float64] | None = None
    wrist_frames: Tensor | None = None
    state: NDArray[np.float64] | None = None
    past_actions: NDArray[np.float64] | None = None
    text: Tensor | None = None

    @property
    def base_pose(self) -> NDArray[np.float64]:
        """(4, 4) newest EEF pose: what relative actions refer to."""
        return self.eef_pose[-1]


def proprioception(
    eef_pose: NDArray[np.float64],
    gripper_width: NDArray[np.float64],
    start_pose: NDArray[np.float64],
    *,
    absolute: bool,
) -> NDArray[np.float64]:
    """Robot state as the model sees it.

    Args:
        eef_pose: (..., h, 4, 4) history of EEF poses, newest last.
        gripper_width: (..., h) m.
        start_pose: (..., 4, 4) at the start of the episode.
        absolute: poses in the base frame; False: relative to the newest one (UMI).

    Returns:
        (..., h, 10) absolute, or (..., h, 16) relative: position 3, rotation 6, width 1, rotation since the start 6.
    """
    if absolute:
        return poses.encode(eef_pose, gripper_width)
    relative = poses.encode(poses.relative_to(eef_pose[..., -1:, :, :], eef_pose), gripper_width)
    since_start = poses.rotation_6d(poses.relative_to(start_pose[..., None, :, :], eef_pose))
    return np.concatenate([relative, since_start], axis=-1)
