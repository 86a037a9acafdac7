# SPDX-License-Identifier: Apache-2.0
"""Message definitions as installed on this machine, for bags that can be read where they are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore


class InstalledTypes:
    """A rosbags typestore that is filled from installed `.msg` files as types are asked for."""

    def __init__(self) -> None:
        self.store = get_typestore(Stores.EMPTY)

    def load(self, name: str) -> None:
        """Make a type such as `uva_msgs/msg/ActionChunk` known, with all types in it.

        Raises:
            LookupError: Its package or file is not installed.
        """
        types: dict[str, Any] = {}
        waiting = [name]
        while waiting:
            wanted = waiting.pop()
            if wanted in types or wanted in self.store.fielddefs:
                continue
            found = get_types_from_msg(_definition_file(wanted).read_text(), wanted)
            types.update(found)
            for _, fields in found.values():
                waiting += [used for _, description in fields for used in _names_in(description)]
        self.store.register(types)


def _definition_file(name: str) -> Path:
    package, *_, message = name.split("/")
    path = Path(get_package_share_directory(package)) / "msg" / f"{message}.msg"
    if not path.is_file():
        raise LookupError(f"no definition of {name}: {path} does not exist")
    return path


def _names_in(description: Any) -> Iterator[str]:
    """Yield the message types that a field refers to."""
    kind, content = description
    if kind == Nodetype.NAME:
        yield content
    elif kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        yield from _names_in(content[0])
