# SPDX-License-Identifier: Apache-2.0
"""The kinematic chain of the SDK's own URDF, for MuJoCo."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from arx_x5_driver.geometry.urdf import Link, read_links

SDK_PACKAGE = "arx5_interface"


def sdk_urdf_path(arm_model: str = "X5_umi") -> Path:
    """Return the path of the URDF that the installed ARX SDK itself uses, without loading its binary.

    Raises:
        FileNotFoundError: the SDK is not installed, or has no such arm.
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
    links = {link.parent: link for link in read_links(path)}
    chain: list[Link] = []
    while base in links:
        chain.append(links[base])
        base = chain[-1].name
    return chain
