# SPDX-License-Identifier: Apache-2.0
"""The kinematic chain of the SDK's own URDF, for MuJoCo: joint origins, axes and link inertials, without meshes."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

SDK_PACKAGE = "arx5_interface"


@dataclass(frozen=True)
class Inertial:
    """Mass properties of a link, in the link's own frame."""

    mass_kg: float
    centre_m: NDArray[np.float64]  # (3,)
    full_inertia: NDArray[np.float64]  # (6,) xx, yy, zz, xy, xz, yz in kg m^2


@dataclass(frozen=True)
class Link:
    """A link together with the joint that carries it."""

    name: str
    joint_name: str
    joint_type: str
    origin_m: NDArray[np.float64]  # (3,) in the parent link
    rotation: Rotation
    axis: NDArray[np.float64]  # (3,)
    inertial: Inertial


def sdk_urdf_path(arm_model: str = "X5_umi") -> Path:
    """Return the path of the URDF that the installed ARX SDK itself uses, without loading its binary.

    Raises:
        FileNotFoundError: the SDK is not installed, or has no such arm model.
    """
    spec = importlib.util.find_spec(SDK_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"Python package '{SDK_PACKAGE}' (PyPI: arx5-interface) is not installed")
    path = Path(spec.submodule_search_locations[0]) / "models" / f"{arm_model}.urdf"
    if not path.is_file():
        raise FileNotFoundError(f"no URDF of arm model '{arm_model}' at {path}")
    return path


def read_chain(path: Path, base: str = "base_link") -> list[Link]:
    """Read the serial chain that starts at `base`, in order from the base to the tool."""
    root = ElementTree.parse(path).getroot()
    inertials = {link.attrib["name"]: _read_inertial(link) for link in root.findall("link")}
    joints_by_parent = {_child(joint, "parent").attrib["link"]: joint for joint in root.findall("joint")}
    chain: list[Link] = []
    parent = base
    while parent in joints_by_parent:
        joint = joints_by_parent[parent]
        origin = joint.find("origin")
        axis = joint.find("axis")
        name = _child(joint, "child").attrib["link"]
        chain.append(
            Link(
                name=name,
                joint_name=joint.attrib["name"],
                joint_type=joint.attrib["type"],
                origin_m=_vector(origin, "xyz"),
                rotation=Rotation.from_euler("xyz", _vector(origin, "rpy")),
                axis=np.array([1.0, 0.0, 0.0]) if axis is None else _vector(axis, "xyz"),
                inertial=inertials[name],
            )
        )
        parent = name
    return chain


def _read_inertial(link: ElementTree.Element) -> Inertial:
    element = _child(link, "inertial")
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


def _vector(element: ElementTree.Element | None, attribute: str) -> NDArray[np.float64]:
    text = "0 0 0" if element is None else element.attrib.get(attribute, "0 0 0")
    return np.array([float(value) for value in text.split()])
