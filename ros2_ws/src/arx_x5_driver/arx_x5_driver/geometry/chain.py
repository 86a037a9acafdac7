# SPDX-License-Identifier: Apache-2.0
"""Frames of all links along a URDF's chain, for many joint angles at once.

The SDK's solver gives the end effector only, one configuration a call. Checks of a whole braking path against the
arm's own body need every link at a dozen points in a fraction of a millisecond.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from arx_x5_driver.array import Array
from arx_x5_driver.geometry.urdf import read_links

_BASE = np.eye(4)
_YZX, _ZXY = (1, 2, 0), (2, 0, 1)


class Chain:
    """A serial chain of revolute joints, with fixed joints at its end."""

    def __init__(self, urdf: Path, base: str, tip: str) -> None:
        """Read the chain between two links. Raises `ValueError` if there is no such chain."""
        origins, axes = _read(urdf, base, tip)
        # A joint's transform is C + S sin(q) + K cos(q), by Rodrigues; the origin is multiplied in.
        axes = [axis / np.linalg.norm(axis) for axis in axes]
        terms = [origin @ _rodrigues(axis) for origin, axis in zip(origins, axes, strict=False)]
        self._axes = np.array(axes)[:, :, np.newaxis]
        self._terms = np.array(terms).reshape(len(axes), 3, 16)
        self._tool = origins[-1]
        self.link_lengths_m = [float(np.linalg.norm(origin[:3, 3])) for origin in origins[:-1]]
        """Distance of each joint from the one before, of the first from the base."""
        self.levers_m = [
            sum(self.link_lengths_m[joint + 1 :]) + self.tool_length_m for joint in range(self.joint_count)
        ]
        """Greatest distance of the tip from each joint."""

    @property
    def joint_count(self) -> int:
        """Number n of revolute joints."""
        return len(self._terms)

    @property
    def tool_length_m(self) -> float:
        """Distance of the tip from the last joint."""
        return float(np.linalg.norm(self._tool[:3, 3]))

    def frames(self, joints: Array) -> Array:
        """Return poses `(n + 2, S, 4, 4)` of base, n links and tip in the base frame, at joints `(S, n)`."""
        factors = np.empty((self.joint_count, len(joints), 3))
        factors[:, :, 0] = 1.0
        np.sin(joints.T, out=factors[:, :, 1])
        np.cos(joints.T, out=factors[:, :, 2])
        local = (factors @ self._terms).reshape(self.joint_count, len(joints), 4, 4)
        frames = np.empty((self.joint_count + 2, len(joints), 4, 4))
        frames[0] = _BASE
        frames[1] = local[0]
        for link in range(1, self.joint_count):
            np.matmul(frames[link], local[link], out=frames[link + 1])
        np.matmul(frames[-2], self._tool, out=frames[-1])
        return frames

    def jacobian(self, joints: Array) -> Array:
        """Return derivatives `(6, n)` of the tip's position and rotation vector in the base frame, at joints `(n,)`."""
        frames = self.frames(joints[np.newaxis])[1:, 0]
        axes = (frames[:-1, :3, :3] @ self._axes)[:, :, 0]
        arms = frames[-1, :3, 3] - frames[:-1, :3, 3]
        jacobian = np.empty((6, self.joint_count))
        jacobian[:3] = (axes[:, _YZX] * arms[:, _ZXY] - axes[:, _ZXY] * arms[:, _YZX]).T  # np.cross is slow
        jacobian[3:] = axes.T
        return jacobian


def _read(urdf: Path, base: str, tip: str) -> tuple[list[Array], list[Array]]:
    """Return origins `(4, 4)` of the joints between two links, with fixed ones at the end as one, and the axes."""
    links = {link.name: link for link in read_links(urdf)}
    path = []
    name = tip
    while name != base:
        if name not in links:
            raise ValueError(f"{urdf} has no chain from '{base}' to '{tip}'")
        path.append(links[name])
        name = links[name].parent
    origins, axes = [], []
    tool = np.eye(4)
    for link in reversed(path):
        if link.joint_type == "fixed":
            tool = tool @ link.origin
        elif link.joint_type in ("revolute", "continuous") and (tool == np.eye(4)).all():
            origins.append(link.origin)
            axes.append(link.axis)
        else:
            raise ValueError(
                f"joint '{link.joint_name}' of {urdf} is {link.joint_type}: "
                "the chain must be of revolute joints, then fixed ones"
            )
    return [*origins, tool], axes


def _rodrigues(axis: Array) -> Array:
    """Return matrices C, S, K `(3, 4, 4)`, so that C + S sin(q) + K cos(q) turns by q about the unit axis."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    terms = np.zeros((3, 4, 4))
    terms[0, :3, :3] = np.eye(3) + cross @ cross
    terms[0, 3, 3] = 1.0
    terms[1, :3, :3] = cross
    terms[2, :3, :3] = -cross @ cross
    return terms
