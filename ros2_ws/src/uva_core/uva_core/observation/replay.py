# SPDX-License-Identifier: Apache-2.0
"""Replay stamped recordings through an observation buffer: what the model sees at a moment, and what followed it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from uva_core.actions import ActionSequence
from uva_core.observation.buffer import ObservationBuffer
from uva_core.observation.observation import Observation

T = TypeVar("T")
Array = NDArray[np.float64]
EefPose = tuple[Array, float]
"""EEF pose (4, 4) in the base frame, and gripper width in m."""


@dataclass(frozen=True)
class Stream(Generic[T]):
    """Values with their times.

    Attributes:
        stamps_s: (N,) ascending.
        values: the N values.
    """

    stamps_s: Array
    values: Sequence[T]

    def __post_init__(self) -> None:
        """Reject stamps that are no times of these values."""
        if len(self.stamps_s) != len(self.values):
            raise ValueError(f"{len(self.stamps_s)} stamps do not fit {len(self.values)} values")
        if not (np.isfinite(self.stamps_s).all() and (np.diff(self.stamps_s) >= 0.0).all()):
            raise ValueError("stamps of a recording do not ascend: the clock was set meanwhile")

    def nearest(self, times_s: Array, tolerance_s: float) -> Stream[T]:
        """Return the value nearest to each of these times; none for a time without a value within the tolerance."""
        if not len(self.values):
            return self
        right = np.searchsorted(self.stamps_s, times_s).clip(max=len(self.values) - 1)
        left = (right - 1).clip(min=0)
        index = np.where(np.abs(times_s - self.stamps_s[left]) <= np.abs(self.stamps_s[right] - times_s), left, right)
        index = index[np.abs(self.stamps_s[index] - times_s) <= tolerance_s]
        return Stream(self.stamps_s[index], [self.values[i] for i in index])


@dataclass(frozen=True)
class Moment:
    """An observation and what followed it.

    Attributes:
        observation: what the model sees.
        frames: (H, W, 3) RGB images nearest to the wanted times; fewer where the recording has none.
        actions: EEF targets nearest to the wanted times; fewer where the recording has none.
    """

    observation: Observation
    frames: Stream[NDArray[np.uint8]]
    actions: Stream[EefPose]

    @property
    def action_sequence(self) -> ActionSequence:
        """The actions as the model takes them. Raises `ValueError` where there are none."""
        return ActionSequence.from_poses(
            np.stack([pose for pose, _ in self.actions.values]), np.array([width for _, width in self.actions.values])
        )


def replay(
    buffer: ObservationBuffer,
    images: Stream[NDArray[np.uint8]],
    poses: Stream[EefPose],
    times_s: Iterable[float],
    *,
    frame_times_s: Array,
    action_times_s: Array,
    tolerance_s: float,
    targets: Stream[EefPose] | None = None,
) -> Iterator[Moment]:
    """Feed a buffer as a recording goes on, and yield what it holds at each of some moments.

    Args:
        buffer: an empty one.
        images: (H, W, 3) RGB.
        poses: measured.
        times_s: ascending moments; each sees images up to its time, and poses up to the first after its newest image.
        frame_times_s: (h,) times of the frames that are wanted, after the newest image.
        action_times_s: (T,) times at which actions are to be reached, after the newest image.
        tolerance_s: frames and actions further than this from a wanted time are left out.
        targets: EEF targets, stamped with the time at which they are to be reached; None: the measured poses.

    Raises:
        ObservationNotReadyError: the recording misses images or poses before a moment.
    """
    fed_images = fed_poses = 0
    targets = poses if targets is None else targets
    for time_s in times_s:
        newest = int(np.searchsorted(images.stamps_s, time_s, side="right"))
        for i in range(fed_images, newest):
            buffer.add_image(float(images.stamps_s[i]), images.values[i])
        newest_s = float(images.stamps_s[newest - 1]) if newest else time_s
        measured = min(int(np.searchsorted(poses.stamps_s, newest_s)) + 1, len(poses.values))
        for i in range(fed_poses, measured):
            buffer.add_pose(float(poses.stamps_s[i]), *poses.values[i])
        fed_images, fed_poses = newest, max(measured, fed_poses)
        observation = buffer.sample()
        yield Moment(
            observation,
            images.nearest(observation.stamp_s + frame_times_s, tolerance_s),
            targets.nearest(observation.stamp_s + action_times_s, tolerance_s),
        )
