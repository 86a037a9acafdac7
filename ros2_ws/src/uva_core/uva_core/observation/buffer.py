# SPDX-License-Identifier: Apache-2.0
"""Stamped images and EEF poses in, observations for the model out: live, from a bag and in training alike."""

from __future__ import annotations

import bisect
import logging
import math
from collections import deque
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uva_core import images, poses
from uva_core.observation.config import ObservationConfig
from uva_core.observation.observation import Observation

_LOGGER = logging.getLogger(__name__)

STEP_BACK_S = 0.5
"""A stamp this much older than the newest one [s] is no late message: the clock was set, or a recording starts anew."""

POSE_HOLD_S = 0.02
"""The newest EEF pose stands for an image that is at most this much newer [s], until the next pose is there."""

_ROUNDING_S = 1e-6  # stamps of today as floats are 2.4e-7 s apart


class ObservationNotReadyError(RuntimeError):
    """The buffer cannot give an observation now; the message says what is missing."""


class ObservationBuffer:
    """Keep the recent past, and cut observations from it at the model's frame times.

    Images are taken by nearest stamp, poses are interpolated (linear and slerp) at the same stamps. Nothing is
    extrapolated, except that the newest pose holds for `POSE_HOLD_S`: a wanted time without data raises an error. With
    `pad_start` the first image and pose of an episode also serve for the time before it (a robot that stood still), as
    long as the buffer still has them; not after an outage.

    The buffer keeps data for as long as history and prediction reach together, so that seen frames can be compared
    with the future of an older observation.

    An episode starts with `clear`, and with a stamp `STEP_BACK_S` older than the one before it: the buffer then
    forgets everything, because times before and after a step of the clock cannot be compared.
    """

    def __init__(self, config: ObservationConfig, image_size: int, *, pad_start: bool = False) -> None:
        """Make an empty buffer for frames of `image_size` pixels."""
        self.config = config
        self.image_size = image_size
        self.pad_start = pad_start
        self._images: deque[tuple[float, Tensor]] = deque()
        self._poses: deque[tuple[float, NDArray[np.float64], float]] = deque()
        self._capacity_s = config.history_s + config.horizon_s + 1.0
        self.clear()

    def clear(self) -> None:
        """Forget everything, e.g. at the start of an episode."""
        self._images.clear()
        self._poses.clear()
        self._start_pose: NDArray[np.float64] | None = None
        self._first_image_s = self._first_pose_s = math.nan

    @property
    def newest_s(self) -> float:
        """Stamp of the newest image [s], NaN if there is none."""
        return self._images[-1][0] if self._images else math.nan

    def add_image(self, stamp_s: float, image: NDArray[np.uint8]) -> bool:
        """Add an RGB image (H, W, 3). Return False, and drop it, when its stamp is not newer than the last one.

        Raises:
            ValueError: not an RGB image, or an empty one.
        """
        prepared = images.prepare(image, self.image_size, self.config.resize)
        if not self._is_newer(stamp_s, self._images):
            return False
        if not self._images:
            self._first_image_s = stamp_s
        self._images.append((stamp_s, prepared))
        self._forget(self._images, stamp_s)
        return True

    def add_pose(self, stamp_s: float, eef_pose: NDArray[np.float64], gripper_width: float) -> bool:
        """Add a measured EEF pose (4, 4) and gripper width. Return False when it is not newer, or not finite."""
        if not (np.isfinite(eef_pose).all() and np.isfinite(gripper_width)):
            return False
        if not self._is_newer(stamp_s, self._poses):
            return False
        if self._start_pose is None:
            self._start_pose, self._first_pose_s = eef_pose, stamp_s
        self._poses.append((stamp_s, eef_pose, gripper_width))
        self._forget(self._poses, stamp_s)
        return True

    def _is_newer(self, stamp_s: float, queue: deque) -> bool:
        """Tell whether the stamp can follow those in the queue; after a step back of time that is now empty."""
        if not math.isfinite(stamp_s):
            return False
        if queue and stamp_s < queue[-1][0] - STEP_BACK_S:
            _LOGGER.warning("stamps step back by %.2f s: the history is forgotten", queue[-1][0] - stamp_s)
            self.clear()
        return not queue or stamp_s > queue[-1][0]

    def _forget(self, queue: deque, now_s: float) -> None:
        while queue[0][0] < now_s - self._capacity_s:
            queue.popleft()

    def sample(self, at_s: float | None = None) -> Observation:
        """Return the observation at the newest image, or as it was at the past time `at_s`.

        Raises:
            ObservationNotReadyError: no image or pose yet, not enough history, or a gap at a wanted time.
        """
        if not self._images or self._start_pose is None:
            raise ObservationNotReadyError("no image yet" if not self._images else "no EEF pose yet")
        newest = self.newest_s if at_s is None else self._newest_as_of(at_s)
        chosen = [self._frame(newest + offset / self.config.rate_hz) for offset in self.config.frame_offsets]
        states = [self._pose(stamp) for stamp, _ in chosen]
        return Observation(
            stamp_s=newest,
            frames=torch.stack([frame for _, frame in chosen]),
            eef_pose=np.stack([pose for pose, _ in states]),
            gripper_width=np.array([width for _, width in states]),
            start_pose=self._start_pose,
            frame_stamps_s=np.array([stamp for stamp, _ in chosen]),
        )

    def frames_at(self, times_s: Iterable[float]) -> Tensor:
        """Return what was seen at these n times: (n, 3, S, S) float32 in [-1, 1], each the frame nearest to its time.

        Raises:
            ObservationNotReadyError: no image yet, or none near enough to one of the times.
        """
        if not self._images:
            raise ObservationNotReadyError("no image yet")
        return torch.stack([self._frame(time_s)[1] for time_s in times_s])

    def _newest_as_of(self, at_s: float) -> float:
        """Return the stamp of the image that was the newest one at a past time."""
        stamps = [stamp for stamp, _ in self._images]
        if at_s > stamps[-1] + _ROUNDING_S:
            raise ObservationNotReadyError(f"the newest image is {at_s - stamps[-1]:.2f} s older than the wanted time")
        index = bisect.bisect_right(stamps, at_s + _ROUNDING_S) - 1
        if index < 0:
            raise ObservationNotReadyError(
                f"{stamps[-1] - at_s:.2f} s ago is not remembered, only the last {stamps[-1] - stamps[0]:.2f} s"
            )
        if at_s - stamps[index] > self.config.max_frame_gap_s:
            raise ObservationNotReadyError(
                f"no image in the {self.config.max_frame_gap_s * 1e3:.0f} ms before {stamps[-1] - at_s:.2f} s ago"
            )
        return stamps[index]

    def _frame(self, wanted_s: float) -> tuple[float, Tensor]:
        stamps = [stamp for stamp, _ in self._images]
        right = bisect.bisect_left(stamps, wanted_s)
        nearest = min((i for i in (right - 1, right) if 0 <= i < len(stamps)), key=lambda i: abs(stamps[i] - wanted_s))
        gap = abs(stamps[nearest] - wanted_s)
        padded = self.pad_start and wanted_s < stamps[0] == self._first_image_s
        if gap > self.config.max_frame_gap_s and not padded:
            raise ObservationNotReadyError(
                f"no image within {self.config.max_frame_gap_s * 1e3:.0f} ms of {stamps[-1] - wanted_s:.2f} s ago "
                f"(nearest {gap * 1e3:.0f} ms away)"
            )
        return self._images[nearest]

    def _pose(self, stamp_s: float) -> tuple[NDArray[np.float64], float]:
        stamps = [stamp for stamp, _, _ in self._poses]
        right = bisect.bisect_left(stamps, stamp_s)
        if right == len(stamps):
            if not stamps or stamp_s - stamps[-1] > POSE_HOLD_S + _ROUNDING_S:
                newest = f"the newest is {(stamp_s - stamps[-1]) * 1e3:.0f} ms older" if stamps else "there is none"
                raise ObservationNotReadyError(f"no EEF pose for an image: {newest}")
            return self._poses[-1][1:]
        if right == 0 and stamps[0] != stamp_s:
            if not (self.pad_start and stamps[0] == self._first_pose_s):
                raise ObservationNotReadyError(
                    f"no EEF pose for an image: the oldest is {(stamps[0] - stamp_s) * 1e3:.0f} ms newer"
                )
            return self._poses[0][1:]
        before, after = self._poses[max(right - 1, 0)], self._poses[right]
        if after[0] == stamp_s:
            return after[1], after[2]
        if after[0] - before[0] > 2 * self.config.max_frame_gap_s:
            raise ObservationNotReadyError(f"EEF poses have a gap of {(after[0] - before[0]) * 1e3:.0f} ms")
        fraction = (stamp_s - before[0]) / (after[0] - before[0])
        return poses.interpolate(before[1], after[1], fraction), before[2] + fraction * (after[2] - before[2])
