# SPDX-License-Identifier: Apache-2.0
"""How far the frames seen are from those that the model predicted for their time. No ROS in here."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from uva_core.policy.predictions import VideoPrediction

PATCHES_PER_SIDE = 8


@dataclass(frozen=True)
class ExpectedFrame:
    """A frame (S, S, 3) uint8 that was predicted at `made_s` to be seen at `due_s`."""

    made_s: float
    due_s: float
    frame: NDArray[np.uint8]

    def divergence(self, seen: NDArray[np.uint8]) -> float:
        """Difference of the mean colours of the patch that differs most, from 0 (as expected) to 1 (black for white).

        A patch is an eighth of the picture wide and high, and may lie anywhere. The tokenizer changes every
        pixel a little: over the whole picture this would hide an object that moved; within a patch, blurred edges
        cancel out.
        """
        difference = torch.from_numpy(self.frame.astype(np.float32) - seen).permute(2, 0, 1)
        patches = functional.avg_pool2d(difference, len(seen) // PATCHES_PER_SIDE, stride=1)
        return float(patches.abs().mean(0).max() / 255)


class Expectations:
    """Remember predicted frames until their time has come.

    Predictions overlap, because the next one is made before the last frame of one is due. Of the frames whose time
    has come only the latest of the newest prediction counts: it belongs to the chunk that runs.
    """

    def __init__(self, size: int = 256) -> None:
        """Remember at most the newest `size` frames."""
        self._frames: deque[ExpectedFrame] = deque(maxlen=size)

    def clear(self) -> None:
        """Forget all."""
        self._frames.clear()

    def add(self, stamp_s: float, video: VideoPrediction) -> None:
        """Remember the frames of a prediction from an observation of `stamp_s`."""
        for after_s, frame in zip(video.time_from_observation_s, video.frames, strict=True):
            self._frames.append(ExpectedFrame(stamp_s, stamp_s + float(after_s), frame))

    def take_due(self, now_s: float) -> ExpectedFrame | None:
        """Return the frame that counts of those due by `now_s`, None if none is due, and forget all that are due."""
        due = [frame for frame in self._frames if frame.due_s <= now_s]
        if not due:
            return None
        waiting = [frame for frame in self._frames if frame.due_s > now_s]
        self.clear()
        self._frames.extend(waiting)
        return max(due, key=lambda frame: (frame.made_s, frame.due_s))
