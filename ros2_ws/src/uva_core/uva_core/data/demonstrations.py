# SPDX-License-Identifier: Apache-2.0
"""Demonstrations: the one form that every reader returns and that training windows are cut from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uva_core import poses

Array = NDArray[np.float64]


@dataclass
class Demonstrations:
    """T steps at one rate, episode after episode.

    Attributes:
        rate_hz: steps per second.
        episode_ends: (E,) index after the last step of each episode.
        images: (T, H, W, 3) uint8 RGB of the main camera; anything that can be sliced like an array, so that it may
            stay on disk.
        pose: (T, 4, 4) measured EEF poses in the base frame.
        gripper_width: (T,) measured, m.
        actions: (T, 10) EEF target that was commanded in each step, to be reached one step later: position 3 [m],
            rotation 6-D, gripper width 1 [m], base frame.
        expert_actions: (T, 10) what an expert would have commanded in the same step.
        is_expert: (T,) bool, True where the step may be imitated.
        wrist_images: (T, H', W', 3) uint8 RGB of a wrist camera, sliced like `images`.
        state: (T, P) robot state in task units, for models whose state is no EEF pose.
        text: (E, D) language latent of each episode's instruction.
    """

    rate_hz: float
    episode_ends: NDArray[np.int64]
    images: Any
    pose: Array
    gripper_width: Array
    actions: Array
    expert_actions: Array
    is_expert: NDArray[np.bool_]
    wrist_images: Any = None
    state: Array | None = None
    text: Array | None = None

    def __post_init__(self) -> None:
        """Refuse data that do not fit together.

        Raises:
            ValueError: no steps, episodes that do not ascend, another shape, or a number that is not finite.
        """
        ends, steps = self.episode_ends, len(self.pose)
        if not np.isfinite(self.rate_hz) or self.rate_hz <= 0:
            raise ValueError(f"{self.rate_hz} steps a second are no rate")
        if ends.ndim != 1 or not len(ends) or (np.diff(ends, prepend=0) <= 0).any():
            raise ValueError(f"the ends of the episodes do not ascend: {np.array2string(ends, threshold=10)}")
        if ends[-1] != steps:
            raise ValueError(f"the last episode ends at step {ends[-1]}, but there are {steps} poses")
        shapes = {
            "images": (steps, None, None, 3),
            "pose": (steps, 4, 4),
            "gripper_width": (steps,),
            "actions": (steps, poses.POSE_DIM),
            "expert_actions": (steps, poses.POSE_DIM),
            "is_expert": (steps,),
            "wrist_images": (steps, None, None, 3),
            "state": (steps, None),
            "text": (len(ends), None),
        }
        for name, shape in shapes.items():
            values = getattr(self, name)
            if values is None:
                continue
            found = tuple(values.shape)
            if len(found) != len(shape) or any(b not in (None, a) for a, b in zip(found, shape, strict=True)):
                wanted = ", ".join("any" if size is None else str(size) for size in shape)
                raise ValueError(f"{name} has shape {found}, not ({wanted})")
            if "images" in name:
                if values.dtype != np.uint8:
                    raise ValueError(f"{name} are {values.dtype}, not uint8")
            elif not np.isfinite(values).all():
                rows = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
                raise ValueError(f"{name} is not finite in {len(rows)} of {len(values)} rows, first in row {rows[0]}")

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.pose)

    @property
    def episode(self) -> NDArray[np.int64]:
        """(T,) index of the episode of each step."""
        return np.repeat(np.arange(len(self.episode_ends)), np.diff(self.episode_ends, prepend=0))

    @property
    def episode_start(self) -> NDArray[np.int64]:
        """(T,) first step of the episode of each step."""
        return (self.episode_ends - np.diff(self.episode_ends, prepend=0))[self.episode]

    @property
    def episode_last(self) -> NDArray[np.int64]:
        """(T,) last step of the episode of each step."""
        return self.episode_ends[self.episode] - 1
