# SPDX-License-Identifier: Apache-2.0
"""The documentation names every option, choice and result."""

from dataclasses import fields
from pathlib import Path

import pytest

from uva_bringup.demo.__main__ import OUTPUTS
from uva_bringup.options import StackOptions
from uva_replay.statistics import Statistics

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "running.md"


@pytest.mark.parametrize("option", fields(StackOptions), ids=lambda option: option.name)
def test_option_is_documented_with_its_choices(option):
    rows = [row for row in DOCUMENT.read_text().splitlines() if row.startswith(f"| `{option.name}` |")]
    assert len(rows) == 1
    for choice in option.metadata["choices"]:
        assert f"`{choice}`" in DOCUMENT.read_text()


def test_results_of_the_demo_are_documented():
    names = [*OUTPUTS, *(field.name for field in fields(Statistics)), "episodes", "solved", "per_episode"]
    text = DOCUMENT.read_text()
    assert [name for name in names if name not in text] == []
