# SPDX-License-Identifier: Apache-2.0
"""Message definitions for bags, so that they can be read without ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from rosbags.typesys import Stores, get_types_from_msg, get_typestore


class InstalledTypes:
    """ROS 2's own message types, and those of installed packages on request."""

    def __init__(self) -> None:
        self.store = get_typestore(Stores.LATEST)

    def load(self, name: str) -> None:
        """Add a type such as `uva_msgs/msg/ActionChunk`, and all others of its package.

        Raises:
            LookupError: Its package is not installed, or has no such message.
        """
        if name in self.store.fielddefs:
            return
        package = name.partition("/")[0]
        folder = Path(get_package_share_directory(package)) / "msg"
        types: dict[str, Any] = {}
        for file in folder.glob("*.msg"):
            types.update(get_types_from_msg(file.read_text(), f"{package}/msg/{file.stem}"))
        if name not in types:
            raise LookupError(f"no definition of {name} in {folder}")
        self.store.register(types)
