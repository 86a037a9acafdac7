# SPDX-License-Identifier: Apache-2.0
"""Rates, frame times, and the spaces of states and actions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uva_core.actions import ACTION_SPACES
from uva_core.images import RESIZE_MODES
from uva_core.poses import POSE_DIM
from uva_core.serialization import require_within

STATE_SPACES = ("relative_pose", "absolute_pose", "vector")
MAX_OFFSET = 10_000  # steps
RELATIVE_STATE_DIM = POSE_DIM + 6  # and the rotation since the start of the episode


@dataclass(frozen=True)
class ObservationConfig:
    """How time-stamped sensor data becomes model input: the same live, in training and from a bag."""

    rate_hz: float = 20.0  # of the 16 observations and of the 16 actions
    frame_offsets: tuple[int, ...] = (-12, -8, -4, 0)  # steps at `rate_hz`, relative to the newest observation
    resize: str = "bilinear"  # bilinear (corners not aligned, no antialiasing; official) | area
    state_space: str = "relative_pose"  # of the robot state: to the newest EEF pose (UMI) | absolute_pose | vector
    action_space: str = "relative_pose"  # of the actions: to the newest EEF pose (UMI) | absolute_pose | vector
    first_action_step: int = 1  # action 0 is to be reached this many steps after the newest observation
    max_frame_gap_s: float = 0.1  # an image further than this from the wanted time is not used
    smooth_actions: int = 3  # width of the moving average over a predicted chunk; 1: none

    def __post_init__(self) -> None:
        """Reject what could only fail at the first image."""
        require_within(self, 0.001, 1000.0, "rate_hz")
        require_within(self, 1e-6, 1000.0, "max_frame_gap_s")
        require_within(self, 1, 999, "smooth_actions")
        require_within(self, 0, MAX_OFFSET, "first_action_step")
        if len(self.frame_offsets) < 2 or list(self.frame_offsets) != sorted(set(self.frame_offsets)):
            raise ValueError(f"frame_offsets {self.frame_offsets} do not ascend")
        if self.frame_offsets[-1] != 0:
            raise ValueError(f"frame_offsets {self.frame_offsets} do not end at 0, the newest observation")
        if self.frame_offsets[0] < -MAX_OFFSET:
            raise ValueError(f"frame_offsets reach back {-self.frame_offsets[0]} steps; allowed are {MAX_OFFSET}")
        if self.resize not in RESIZE_MODES:
            raise ValueError(f"unknown resize mode '{self.resize}'; choose one of: {', '.join(RESIZE_MODES)}")
        for name, known in (("state_space", STATE_SPACES), ("action_space", ACTION_SPACES)):
            if getattr(self, name) not in known:
                raise ValueError(f"unknown {name} '{getattr(self, name)}'; choose one of: {', '.join(known)}")
        if self.smooth_actions % 2 == 0:
            raise ValueError(f"smooth_actions {self.smooth_actions} is even")

    @property
    def frame_stride(self) -> int:
        """Steps between predicted frames: those between the newest two history frames."""
        return self.frame_offsets[-1] - self.frame_offsets[-2]

    @property
    def future_offsets(self) -> NDArray[np.int64]:
        """(h,) steps of the predicted frames, relative to the newest observation: as many as history frames."""
        return self.frame_stride * np.arange(1, len(self.frame_offsets) + 1)

    @property
    def frame_times_s(self) -> NDArray[np.float64]:
        """(h,) times of the predicted frames, after the newest observation."""
        return self.future_offsets / self.rate_hz

    @property
    def history_s(self) -> float:
        """Time from the oldest history frame to the newest."""
        return -self.frame_offsets[0] / self.rate_hz

    @property
    def horizon_s(self) -> float:
        """Time from the newest observation to the last predicted frame."""
        return float(self.frame_times_s[-1])

    def action_times_s(self, steps: int) -> NDArray[np.float64]:
        """Return when each action of a chunk is to be reached, after the newest observation (steps,)."""
        return self.action_offsets(steps) / self.rate_hz

    def action_offsets(self, steps: int) -> NDArray[np.int64]:
        """Return when each action of a chunk is to be reached, in steps after the newest observation (steps,)."""
        return self.first_action_step + np.arange(steps)
