# SPDX-License-Identifier: Apache-2.0
"""Where all links of the arm are, for many joint angles at once: the frames along a URDF's chain.

The SDK's solver knows the end effector only, one configuration a call. Checks of a whole braking path against the
arm's own body need every link at a dozen points in a fraction of a millisecond.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]


class Chain:
    """A serial chain of revolute joints, ended by fixed ones."""

    def __init__(self, urdf: Path, base: str, tip: str) -> None:
        """Read the chain between two links. Raises `ValueError` if there is none of this kind."""
        origins, axes = _read(urdf, base, tip)
        # A joint's transform is C + S sin(q) + K cos(q), by Rodrigues; the origin is multiplied in.
        terms = [_rodrigues(axis) for axis in axes]
        self._constant = np.array([origin @ term[0] for origin, term in zip(origins, terms, strict=False)])
        self._sine = np.array([origin @ term[1] for origin, term in zip(origins, terms, strict=False)])
        self._cosine = np.array([origin @ term[2] for origin, term in zip(origins, terms, strict=False)])
        self._tool = origins[-1]

    @property
    def joint_count(self) -> int:
        """Number n of revolute joints."""
        return len(self._constant)

    @property
    def tool_length_m(self) -> float:
        """How far the tip lies from the last joint."""
        return float(np.linalg.norm(self._tool[:3, 3]))

    def frames(self, joints: Array) -> Array:
        """Poses `(S, n + 2, 4, 4)` of the base, the n links and the tip in the base frame, at joints `(S, n)`."""
        angles = joints[:, :, np.newaxis, np.newaxis]
        local = self._constant + self._sine * np.sin(angles) + self._cosine * np.cos(angles)
        frames = np.empty((len(joints), self.joint_count + 2, 4, 4))
        frames[:, 0] = np.eye(4)
        frames[:, 1] = local[:, 0]
        for index in range(1, self.joint_count):
            np.matmul(frames[:, index], local[:, index], out=frames[:, index + 1])
        np.matmul(frames[:, -2], self._tool, out=frames[:, -1])
        return frames


def _read(urdf: Path, base: str, tip: str) -> tuple[list[Array], list[Array]]:
    """Origins `(4, 4)` of the joints between two links, the fixed ones at the end as one, and axes of the others."""
    joints = {_attribute(joint, "child", "link"): joint for joint in ElementTree.parse(urdf).getroot().iter("joint")}
    way = []
    link = tip
    while link != base:
        if link not in joints:
            raise ValueError(f"{urdf} has no chain from '{base}' to '{tip}'")
        way.append(joints[link])
        link = _attribute(joints[link], "parent", "link")
    origins, axes = [], []
    tool = np.eye(4)
    for joint in reversed(way):
        origin = _origin(joint)
        if joint.get("type") == "fixed":
            tool = tool @ origin
        elif joint.get("type") in ("revolute", "continuous") and (tool == np.eye(4)).all():
            origins.append(origin)
            axes.append(np.array(_attribute(joint, "axis", "xyz").split(), dtype=np.float64))
        else:
            raise ValueError(f"joint '{joint.get('name')}' of {urdf} is {joint.get('type')}, after a fixed one or not")
    return [*origins, tool], axes


def _attribute(joint: ElementTree.Element, tag: str, name: str) -> str:
    element = joint.find(tag)
    if element is None:
        raise ValueError(f"joint '{joint.get('name')}' has no <{tag}>")
    return element.get(name, "")


def _origin(joint: ElementTree.Element) -> Array:
    origin = joint.find("origin")
    matrix = np.eye(4)
    if origin is not None:
        matrix[:3, 3] = [float(number) for number in origin.get("xyz", "0 0 0").split()]
        rpy = [float(number) for number in origin.get("rpy", "0 0 0").split()]
        matrix[:3, :3] = Rotation.from_euler("xyz", rpy).as_matrix()
    return matrix


def _rodrigues(axis: Array) -> tuple[Array, Array, Array]:
    """Matrices `(4, 4)` C, S, K so that C + S sin(q) + K cos(q) turns by q about the axis."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    constant, sine, cosine = np.zeros((3, 4, 4))
    constant[:3, :3] = np.eye(3) + cross @ cross
    constant[3, 3] = 1.0
    sine[:3, :3] = cross
    cosine[:3, :3] = -cross @ cross
    return constant, sine, cosine
