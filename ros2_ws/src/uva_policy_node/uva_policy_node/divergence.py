# SPDX-License-Identifier: Apache-2.0
"""How far the world is from what the model expected: predicted frames against those seen. No ROS in here."""

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

        A patch is an eighth of the picture wide and high, and may lie anywhere. Over the whole picture, what moves
        would be lost among what the tokenizer does to every pixel; within a patch, its blurred edges cancel out.
        """
        difference = torch.from_numpy(self.frame.astype(np.float32) - seen).permute(2, 0, 1)
        patches = functional.avg_pool2d(difference, len(seen) // PATCHES_PER_SIDE, stride=1)
        return float(patches.abs().mean(0).max() / 255)


class Expectations:
    """Remembers predicted frames until their time has come.

    Predictions overlap, as they are made more often than they reach ahead. Of the frames whose time has come, only
    one of the newest prediction counts: it is the closest to the chunk that runs.
    """

    def __init__(self, size: int = 256) -> None:
        """Make an empty memory for the newest `size` frames."""
        self._frames: deque[ExpectedFrame] = deque(maxlen=size)

    def clear(self) -> None:
        """Forget all."""
        self._frames.clear()

    def add(self, stamp_s: float, video: VideoPrediction) -> None:
        """Remember the frames of a prediction that rests on an observation of `stamp_s`."""
        for after_s, frame in zip(video.time_from_observation_s, video.frames, strict=True):
            self._frames.append(ExpectedFrame(stamp_s, stamp_s + float(after_s), frame))

    def take_due(self, now_s: float) -> ExpectedFrame | None:
        """Return the frame that counts of those due by now, None if none is, and forget all that are."""
        due = [frame for frame in self._frames if frame.due_s <= now_s]
        if not due:
            return None
        waiting = [frame for frame in self._frames if frame.due_s > now_s]
        self.clear()
        self._frames.extend(waiting)
        return max(due, key=lambda frame: (frame.made_s, frame.due_s))
