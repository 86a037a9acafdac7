# SPDX-License-Identifier: Apache-2.0
"""TODO."""

from __future__ import annotations

from dataclasses import dataclass

from uva_core.images import RESIZE_MODES
from uva_core.poses import POSE_DIM
from uva_core.serialization import _require_positive

ACTION_SPACES = ("relative_pose", "absolute_pose", "vector")


STATE_SPACES = ("relative_pose", "absolute_pose", "vector")


RELATIVE_STATE_DIM = POSE_DIM + 6  # and the rotation since the start of the episode


@dataclass(frozen=True)
class ObservationConfig:
    """How time-stamped sensor data becomes model input: the same live, in training and from a bag."""

    rate_hz: float = 20.0  # of the 16 observations and of the 16 actions
    frame_offsets: tuple[int, ...] = (
        -12,
        -8,
        -4,
        0,
    )  # steps at `rate_hz`, relative to the newest observation
    resize: str = "bilinear"  # bilinear (corners not aligned, no antialiasing; official) | area
    state_space: str = "relative_pose"  # of the robot state: to the newest EEF pose (UMI) | absolute_pose | vector
    action_space: str = "relative_pose"  # of the actions: to the newest EEF pose (UMI) | absolute_pose | vector
    first_action_step: int = 1  # action 0 is to be reached this many steps after the newest observation
    max_frame_gap_s: float = 0.1  # an image further than this from the wanted time is not used
    smooth_actions: int = 3  # width of the moving average over a predicted chunk; 1: none

    def __post_init__(self) -> None:
        """Reject what could only fail at the first image."""
        _require_positive(self, "rate_hz", "max_frame_gap_s", "smooth_actions")
        if len(self.frame_offsets) < 2 or list(self.frame_offsets) != sorted(set(self.frame_offsets)):
            raise ValueError(f"frame_offsets {self.frame_offsets} do not ascend")
        if self.frame_offsets[-1] != 0:
            raise ValueError(f"frame_offsets {self.frame_offsets} do not end at 0, the newest observation")
        if self.resize not in RESIZE_MODES:
            raise ValueError(f"unknown resize mode '{self.resize}'; choose one of: {', '.join(RESIZE_MODES)}")
        for name, known in (("state_space", STATE_SPACES), ("action_space", ACTION_SPACES)):
            if getattr(self, name) not in known:
                raise ValueError(f"unknown {name} '{getattr(self, name)}'; choose one of: {', '.join(known)}")
        if self.smooth_actions % 2 == 0:
            raise ValueError(f"smooth_actions {self.smooth_actions} is even")
        if self.first_action_step < 0:
            raise ValueError(f"first_action_step {self.first_action_step} is negative")
