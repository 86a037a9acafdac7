# SPDX-License-Identifier: Apache-2.0
"""Message definitions are those installed."""

import json
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_share_directory

from uva_replay.definitions import InstalledTypes


@pytest.mark.parametrize("name", ["uva_msgs/msg/ActionChunkArray", "diagnostic_msgs/msg/DiagnosticArray"])
def test_installed_definitions_have_the_hash_that_ros_gives_them(name):
    types = InstalledTypes()
    types.load(name)
    package, _, message = name.split("/")
    described = json.loads((Path(get_package_share_directory(package)) / "msg" / f"{message}.json").read_text())
    hashes = {entry["type_name"]: entry["hash_string"] for entry in described["type_hashes"]}
    assert types.store.hash_rihs01(name) == hashes[name]


def test_missing_definition_is_named():
    with pytest.raises(LookupError, match="no definition of std_msgs/msg/Nonsense"):
        InstalledTypes().load("std_msgs/msg/Nonsense")
