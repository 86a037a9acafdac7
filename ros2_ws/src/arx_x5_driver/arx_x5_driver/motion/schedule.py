# SPDX-License-Identifier: Apache-2.0
"""The target of the end effector at a time, from the chunks received so far.

A chunk is a list of waypoints in true time: between them the target goes straight (position, gripper) and by
slerp (rotation). A newer chunk replaces the running one at its receipt; over the blending window the
target passes from the old motion to the new one, so that neither its position nor its velocity jumps.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

from arx_x5_driver.array import Array
from arx_x5_driver.chunk import Chunk
from arx_x5_driver.geometry.se3 import Pose, normalized

_BLEND_SAMPLES = 8  # waypoints of the motion being replaced; the window is a few steps long at most


class Target(NamedTuple):
    """A pose of the end effector and an opening of the gripper [m]."""

    pose: Pose
    width: float

    def interpolate(self, other: Target, fraction: float) -> Target:
        """Return the target at a fraction (0..1) of the path to another."""
        return Target(self.pose.interpolate(other.pose, fraction), self.width + (other.width - self.width) * fraction)


@dataclass(frozen=True)
class _Track:
    """Targets at increasing times, at rest before the first and after the last."""

    times_s: list[float]
    targets: list[Target]

    def at(self, time_s: float) -> Target:
        following = bisect_right(self.times_s, time_s)
        if following == 0:
            return self.targets[0]
        if following == len(self.times_s):
            return self.targets[-1]
        start_s, end_s = self.times_s[following - 1], self.times_s[following]
        fraction = (time_s - start_s) / (end_s - start_s)
        return self.targets[following - 1].interpolate(self.targets[following], fraction)


class Schedule:
    """The running chunk and the transition into it. Times passed to its methods must not decrease.

    Every step of every chunk ends up in exactly one of these counts:

    Attributes:
        executed: steps whose time came while their chunk was running.
        dropped: steps that were late when their chunk came.
        superseded: steps that a newer chunk, or a stop, replaced before their time.
    """

    def __init__(self, blend_s: float) -> None:
        """Blend from one chunk to the next over this time."""
        self._blend_s = blend_s
        self._switch_s = float("-inf")
        self._left: _Track | None = None
        self._track: _Track | None = None
        self._waiting: list[float] = []
        self.executed = 0
        self.dropped = 0
        self.superseded = 0

    @property
    def end_s(self) -> float:
        """Time of the last step."""
        return self._running().times_s[-1]

    @property
    def pending(self) -> int:
        """Steps of the running chunk whose time has not come yet."""
        return len(self._waiting)

    def clear(self) -> None:
        """Forget the running chunk; its remaining steps are superseded."""
        self.superseded += len(self._waiting)
        self._waiting = []
        self._track = self._left = None

    def replace(self, chunk: Chunk, now_s: float, standing: Target) -> None:
        """Run a (valid) chunk from now on.

        Args:
            chunk: it must have a step after `now_s`.
            now_s: steps up to this time are late and dropped.
            standing: the target to start from if no chunk is running.
        """
        start = standing if self._track is None else self.at(now_s)
        self._left = self._snapshot(now_s, start)
        self._switch_s = now_s
        self.superseded += len(self._waiting)

        times_s = chunk.times_s.tolist()
        late = bisect_right(times_s, now_s)
        self.dropped += late
        self._waiting = times_s[late:]
        # The newest late step is where the chunk begins; without one, the path begins at the present target.
        first = late - 1 if late else 0
        targets = [_step(chunk, index) for index in range(first, len(times_s))]
        if late:
            self._track = _Track(times_s[first:], targets)
        else:
            self._track = _Track([now_s, *times_s], [start, *targets])

    def at(self, now_s: float) -> Target:
        """Return the target at a time, and count the steps whose time has come."""
        reached = bisect_right(self._waiting, now_s)
        if reached:
            self.executed += reached
            del self._waiting[:reached]
        return self._sample(now_s)

    def _sample(self, time_s: float) -> Target:
        target = self._running().at(time_s)
        since_s = time_s - self._switch_s
        if self._left is None or since_s >= self._blend_s:
            return target
        fraction = since_s / self._blend_s
        smooth = fraction * fraction * (3.0 - 2.0 * fraction)
        return self._left.at(time_s).interpolate(target, smooth)

    def _snapshot(self, now_s: float, start: Target) -> _Track | None:
        """Return the motion being replaced as waypoints: blends of blends would otherwise nest without end."""
        if self._blend_s <= 0.0:
            return None
        if self._track is None:
            return _Track([now_s], [start])
        times_s = [now_s + self._blend_s * i / (_BLEND_SAMPLES - 1) for i in range(_BLEND_SAMPLES)]
        return _Track(times_s, [self._sample(time_s) for time_s in times_s])

    def _running(self) -> _Track:
        if self._track is None:
            raise RuntimeError("no chunk is running")
        return self._track


def _step(chunk: Chunk, index: int) -> Target:
    quaternion: Array = normalized(chunk.quaternions[index])
    return Target(Pose(chunk.positions[index], quaternion), float(chunk.widths[index]))
