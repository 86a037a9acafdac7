# SPDX-License-Identifier: Apache-2.0
"""The links of a URDF with the joints that carry them: origins, axes and inertials, without meshes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from scipy.spatial.transform import Rotation

from arx_x5_driver.array import Array


@dataclass(frozen=True)
class Inertial:
    """Mass properties of a link, in the link's own frame."""

    mass_kg: float
    centre_m: Array  # (3,)
    full_inertia: Array  # (6,) xx, yy, zz, xy, xz, yz in kg m^2


@dataclass(frozen=True)
class Link:
    """A link together with the joint that carries it.

    Attributes:
        name: of the link.
        parent: link that carries the joint.
        joint_name: of the joint.
        joint_type: of the joint, as URDF names it.
        origin_m: (3,) origin in the parent link.
        rotation: of the link in the parent link at joint angle 0.
        axis: (3,) of the joint, in the link.
        inertial: None where the file has none.
    """

    name: str
    parent: str
    joint_name: str
    joint_type: str
    origin_m: Array
    rotation: Rotation
    axis: Array
    inertial: Inertial | None

    @property
    def origin(self) -> Array:
        """Pose (4, 4) in the parent link at joint angle 0."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.rotation.as_matrix()
        matrix[:3, 3] = self.origin_m
        return matrix


def read_links(path: Path) -> list[Link]:
    """Read all links that a joint carries, in the file's order.

    Raises:
        ValueError: a joint without parent or child, or an inertial without mass or inertia; names it.
    """
    root = ElementTree.parse(path).getroot()
    inertials = {link.attrib["name"]: _inertial(link) for link in root.findall("link")}
    links = []
    for joint in root.findall("joint"):
        origin, axis = joint.find("origin"), joint.find("axis")
        name = _child(joint, "child").attrib["link"]
        links.append(
            Link(
                name=name,
                parent=_child(joint, "parent").attrib["link"],
                joint_name=joint.attrib["name"],
                joint_type=joint.attrib["type"],
                origin_m=_vector(origin, "xyz"),
                rotation=Rotation.from_euler("xyz", _vector(origin, "rpy")),
                axis=np.array([1.0, 0.0, 0.0]) if axis is None else _vector(axis, "xyz"),
                inertial=inertials.get(name),
            )
        )
    return links


def _inertial(link: ElementTree.Element) -> Inertial | None:
    element = link.find("inertial")
    if element is None:
        return None
    inertia = _child(element, "inertia").attrib
    return Inertial(
        mass_kg=float(_child(element, "mass").attrib["value"]),
        centre_m=_vector(element.find("origin"), "xyz"),
        full_inertia=np.array([float(inertia[key]) for key in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz")]),
    )


def _child(element: ElementTree.Element, tag: str) -> ElementTree.Element:
    child = element.find(tag)
    if child is None:
        raise ValueError(f"<{element.tag} name='{element.attrib.get('name', '')}'> has no <{tag}>")
    return child


def _vector(element: ElementTree.Element | None, attribute: str) -> Array:
    text = "0 0 0" if element is None else element.attrib.get(attribute, "0 0 0")
    return np.array([float(value) for value in text.split()])
