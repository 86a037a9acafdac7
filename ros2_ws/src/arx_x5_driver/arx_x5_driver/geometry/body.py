# SPDX-License-Identifier: Apache-2.0
"""The arm's body as capsules along its links, and the clearance between them.

The SDK installs no meshes. Ends of the capsules follow from the joints' offsets in its URDFs, radii are estimates on
the slim side, so that the home pose is free of collision. Check them against your own gripper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from arx_x5_driver.array import Array

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Capsule:
    """All points within `radius_m` of the segment between two points [m] of a link, of which the hand is the last."""

    link: int
    start: Point
    end: Point
    radius_m: float

    @property
    def reach_m(self) -> float:
        """Greatest distance of its segment from the link's origin."""
        return max(math.hypot(*self.start), math.hypot(*self.end))


def arm_capsules(base_height_m: float, tool_length_m: float) -> tuple[Capsule, ...]:
    """Capsules of an X5, X5_umi or L5, from the height of the first joint and the tool's length.

    The base is a vertical capsule below the first joint, whose rotation does not change it: it counts as that link.
    """
    return (
        Capsule(1, (0.0, 0.0, -base_height_m), (0.0, 0.0, 0.045 - base_height_m), 0.045),
        Capsule(1, (0.0, 0.0, 0.0), (0.01, 0.0, 0.03), 0.03),
        Capsule(2, (-0.03, 0.0, 0.0), (-0.264, 0.0, 0.0), 0.03),
        Capsule(3, (0.03, 0.0, -0.056), (0.245, 0.0, -0.056), 0.025),
        Capsule(4, (0.02, 0.0, -0.02), (0.066, 0.0, -0.07), 0.028),
        Capsule(6, (0.03, 0.0, 0.0), (tool_length_m - 0.04, 0.0, 0.0), 0.04),
    )


class Body:
    """Distances between P pairs of capsules of an arm that are not neighbours.

    Links next to each other touch by design; so do the two on either side of the small fifth one.

    Attributes:
        levers_m: `(P, n)` [m], how far beyond each joint's axis the farther capsule of a pair reaches: a rotation by an
            angle changes their distance by no more than that times the angle. 0 where both rotate, or none.
    """

    def __init__(self, capsules: Sequence[Capsule], link_lengths_m: Sequence[float]) -> None:
        """Prepare capsules in the order of their links, and the distance of each joint from the one before."""
        self._links = [capsule.link for capsule in capsules]
        self._points = np.ones((len(capsules), 1, 4, 2))
        for row, capsule in enumerate(capsules):
            self._points[row, 0, :3] = np.array((capsule.start, capsule.end)).T
        pairs = [(a, b) for a, b in combinations(range(len(capsules)), 2) if not _neighbours(capsules[a], capsules[b])]
        self._radii = np.array([capsules[a].radius_m + capsules[b].radius_m for a, b in pairs])
        # Of all pairs: vectors along the first segment, along the second, and from the second's start to the first's.
        differences = np.zeros((3, len(pairs), len(capsules), 2))
        for row, (a, b) in enumerate(pairs):
            differences[0, row, a] = differences[1, row, b] = (-1.0, 1.0)
            differences[2, row, a, 0], differences[2, row, b, 0] = 1.0, -1.0
        self._differences = differences.reshape(3 * len(pairs), 2 * len(capsules))
        self.levers_m = np.zeros((len(pairs), len(link_lengths_m)))
        for row, (a, b) in enumerate(pairs):
            for joint in range(capsules[a].link, capsules[b].link):
                stretched_m = sum(link_lengths_m[joint + 1 : capsules[b].link])
                self.levers_m[row, joint] = stretched_m + capsules[b].reach_m

    def distances(self, frames: Array) -> Array:
        """Return distances `(S, P)` [m] of the pairs' surfaces, < 0 in collision, at poses `(links, S, 4, 4)`."""
        count, pairs = frames.shape[1], len(self._radii)
        ends = (frames[self._links, :, :3] @ self._points).transpose(1, 0, 3, 2)
        vectors = self._differences @ ends.reshape(count, 2 * len(self._links), 3)
        distances = segment_distances(vectors[:, :pairs], vectors[:, pairs : 2 * pairs], vectors[:, 2 * pairs :])
        distances -= self._radii
        return distances


def _neighbours(first: Capsule, second: Capsule) -> bool:
    return second.link - first.link <= 1 or (first.link, second.link) == (4, 6)


def segment_distances(along_a: Array, along_b: Array, apart: Array) -> Array:
    """Return distances `(...)` of segments a and b; vectors `(..., 3)` are along them and from b's start to a's."""
    aa, bb, ab = _dot(along_a, along_a), _dot(along_b, along_b), _dot(along_a, along_b)
    ar, br = _dot(along_a, apart), _dot(along_b, apart)
    # The nearest points of the lines, the one on a moved into its segment, then the nearest on b's, then on a's.
    # Parallel lines have no such point: any one serves.
    s = _unit((ab * br - ar * bb) / np.maximum(aa * bb - ab * ab, 1e-12))
    t = _unit((ab * s + br) / np.maximum(bb, 1e-12))
    s = _unit((ab * t - ar) / np.maximum(aa, 1e-12))
    gap = apart + s[..., np.newaxis] * along_a - t[..., np.newaxis] * along_b
    distances: Array = np.sqrt(_dot(gap, gap))
    return distances


def _dot(first: Array, second: Array) -> Array:
    product: Array = np.einsum("...i,...i->...", first, second)
    return product


def _unit(value: Array) -> Array:
    clipped: Array = np.minimum(np.maximum(value, 0.0), 1.0)
    return clipped
