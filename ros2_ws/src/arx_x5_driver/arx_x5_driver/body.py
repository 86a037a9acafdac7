# SPDX-License-Identifier: Apache-2.0
"""The arm's body as capsules along its links, and how near they come to each other.

The SDK installs no meshes. Ends of the capsules follow from the joints' offsets in its URDFs, radii are estimates on
the slim side, such that all of the arm's home pose is free; they are no replacement for looking at one's own gripper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Capsule:
    """All points within `radius_m` of the segment between two points [m] of a link: 0 is the base, 6 the hand."""

    link: int
    start: Point
    end: Point
    radius_m: float


def arm_body(tool_length_m: float) -> tuple[Capsule, ...]:
    """Capsules of an X5, X5_umi or L5 whose end effector lies this far in front of the last joint."""
    return (
        Capsule(0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.045), 0.045),
        Capsule(1, (0.0, 0.0, 0.0), (0.01, 0.0, 0.03), 0.03),
        Capsule(2, (-0.03, 0.0, 0.0), (-0.264, 0.0, 0.0), 0.03),
        Capsule(3, (0.03, 0.0, -0.056), (0.245, 0.0, -0.056), 0.025),
        Capsule(4, (0.02, 0.0, -0.02), (0.066, 0.0, -0.07), 0.028),
        Capsule(6, (0.03, 0.0, 0.0), (tool_length_m - 0.04, 0.0, 0.0), 0.04),
    )


class SelfDistance:
    """Distance between the capsules of a body that are not neighbours.

    Links next to each other touch by design; so do the base and the upper arm, and the two links on either side of
    the small fifth one.
    """

    def __init__(self, body: Sequence[Capsule]) -> None:
        self._links = [capsule.link for capsule in body]
        self._points = np.ones((len(body), 4, 2))
        for row, capsule in enumerate(body):
            self._points[row, :3] = np.array((capsule.start, capsule.end)).T
        pairs = [
            (first, second)
            for first in range(len(body))
            for second in range(first + 1, len(body))
            if not _neighbours(body[first].link, body[second].link)
        ]
        self._radii = np.array([body[first].radius_m + body[second].radius_m for first, second in pairs])
        # Of all pairs: the way along the first segment, along the second, and from the second's start to the first's.
        differences = np.zeros((3, len(pairs), len(body), 2))
        for row, (first, second) in enumerate(pairs):
            differences[0, row, first] = differences[1, row, second] = (-1.0, 1.0)
            differences[2, row, first, 0], differences[2, row, second, 0] = 1.0, -1.0
        self._differences = differences.reshape(3 * len(pairs), 2 * len(body))

    def __call__(self, frames: Array) -> Array:
        """Smallest distances `(S,)` [m] between two surfaces, at link poses `(S, links, 4, 4)`; < 0: they overlap."""
        pairs = len(self._radii)
        if not pairs:
            return np.full(len(frames), np.inf)
        ends = np.matmul(frames[:, self._links, :3], self._points).transpose(0, 1, 3, 2)
        ways = np.matmul(self._differences, ends.reshape(len(frames), -1, 3))
        distances = segment_distances(ways[:, :pairs], ways[:, pairs : 2 * pairs], ways[:, 2 * pairs :])
        nearest: Array = (distances - self._radii).min(axis=1)
        return nearest


def _neighbours(first: int, second: int) -> bool:
    return second - first <= 1 or (first, second) in ((0, 2), (4, 6))


def segment_distances(way_a: Array, way_b: Array, apart: Array) -> Array:
    """Distances `(...)` between segments a and b: ways along them and from b's start to a's, each `(..., 3)`."""
    aa, bb, ab = _dot(way_a, way_a), _dot(way_b, way_b), _dot(way_a, way_b)
    ar, br = _dot(way_a, apart), _dot(way_b, apart)
    # The nearest points of the lines, the one on a moved into its segment, then the nearest on b's, then on a's.
    # Parallel lines have no such point: any one will do.
    s = _unit((ab * br - ar * bb) / np.maximum(aa * bb - ab * ab, 1e-12))
    t = _unit((ab * s + br) / np.maximum(bb, 1e-12))
    s = _unit((ab * t - ar) / np.maximum(aa, 1e-12))
    gap = apart + s[..., np.newaxis] * way_a - t[..., np.newaxis] * way_b
    distances: Array = np.sqrt(_dot(gap, gap))
    return distances


def _dot(first: Array, second: Array) -> Array:
    product: Array = np.einsum("...i,...i->...", first, second)
    return product


def _unit(value: Array) -> Array:
    clipped: Array = np.minimum(np.maximum(value, 0.0), 1.0)
    return clipped
