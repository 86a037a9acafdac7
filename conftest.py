# SPDX-License-Identifier: Apache-2.0
"""For all tests, in whatever folder pytest is started: a ROS domain of their own, their order, and how many cases.

HYPOTHESIS_PROFILE=ci draws more cases than a developer has time for, and the same ones each time. Property tests take
their number from the profile: `settings().max_examples`, or a multiple of it.
"""

import os
import runpy
from pathlib import Path

import pytest
from hypothesis import settings

# Always a domain of the tests' own, whatever the shell exports: they enable, stop and reset arms.
# Read as a file, because a test of one package needs no other to be installed.
domain = runpy.run_path(str(Path(__file__).parent / "ros2_ws/src/uva_bringup/uva_bringup/demo/domain.py"))
os.environ.update(domain["isolated_environment"]())

settings.register_profile("ci", max_examples=3_000, deadline=None, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what starts processes: it takes longest and waits most, while the rest computes beside it."""
    items.sort(key=lambda item: item.get_closest_marker("system") is None)
