# SPDX-License-Identifier: Apache-2.0
"""The package's README lists everything that a user can set, call or read."""

from pathlib import Path

import pytest

from arx_x5_sim.parameters import SimCameraParameters
from uva_node_utils.specs import parameter_specs

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
INTERFACES = ("camera/image_raw", "camera/camera_info", "sim/world_state", "sim/reset", "/diagnostics")


@pytest.mark.parametrize("spec", parameter_specs(SimCameraParameters), ids=lambda spec: spec.name)
def test_parameter_is_listed(spec):
    assert f"| `{spec.name}` | {spec.default} | {spec.description} |" in README


@pytest.mark.parametrize("name", INTERFACES)
def test_interface_is_listed(name):
    assert f"| `{name}` |" in README
