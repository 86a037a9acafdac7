# SPDX-License-Identifier: Apache-2.0
"""The package's README lists everything that a user can set, call or read."""

from pathlib import Path

import pytest

from arx_x5_driver.control.state import State
from arx_x5_driver.parameters import DriverParameters
from arx_x5_driver.rules.rules import RULES
from uva_node_utils.specs import parameter_specs

README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.mark.parametrize("spec", parameter_specs(DriverParameters), ids=lambda spec: spec.name)
def test_parameter_is_listed_with_its_default(spec) -> None:
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{spec.name}` |")]
    assert row.split("|")[2].strip() == str(spec.default)


@pytest.mark.parametrize("name", [*(rule.name for rule in RULES), *(state.value for state in State)])
def test_rule_or_state_is_listed(name: str) -> None:
    assert f"`{name}`" in README


@pytest.mark.parametrize(
    "name",
    [
        "x5/joint_states", "x5/eef_pose", "x5/status", "x5/joint_command", "uva/action_chunk", "x5/enable", "x5/stop",
        "x5/home", "/diagnostics",
    ],
)  # fmt: skip
def test_interface_is_listed(name: str) -> None:
    assert f"`{name}`" in README
