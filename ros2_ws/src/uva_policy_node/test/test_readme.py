# SPDX-License-Identifier: Apache-2.0
"""The package's README lists everything that a user can set, call or read."""

from pathlib import Path

import pytest

from uva_node_utils.specs import parameter_specs
from uva_policy_node.parameters import MODES, PolicyParameters

README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.mark.parametrize("spec", parameter_specs(PolicyParameters), ids=lambda spec: spec.name)
def test_parameter_is_listed_with_its_default(spec) -> None:
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{spec.name}` |")]
    assert row.split("|")[2].strip() == str(spec.default)


@pytest.mark.parametrize(
    "name",
    [
        *MODES,
        *("uva/action_chunk", "uva/candidate_chunks", "uva/estimated_actions", "uva/query_chunk"),
        *("uva/predicted_image", "uva/predicted_strip", "uva/divergence"),
        *("uva/set_mask_mode", "uva/set_instruction"),
    ],
)
def test_mode_or_interface_is_listed(name: str) -> None:
    assert f"`{name}`" in README
