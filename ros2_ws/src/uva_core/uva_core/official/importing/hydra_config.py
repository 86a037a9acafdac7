# SPDX-License-Identifier: Apache-2.0
"""The hydra configuration in an official checkpoint, read from the records that its OmegaConf nodes became."""

from __future__ import annotations

import re
from typing import Any

from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.official.importing.objects import Record

REFERENCE = re.compile(r"\$\{([\w.]+)\}")  # ${task.shape_meta}; other interpolations stay as they are written
MISSING = "???"
MAX_DEPTH = 50  # of nesting, and of references that lead to references
MAX_VISITS = 100_000
MAX_TEXT = 1_000_000  # characters


class HydraConfig:
    """Nested values under dotted paths, with references followed."""

    def __init__(self, tree: Any) -> None:
        """Turn a pickled DictConfig (or plain dicts and lists) into plain values.

        Raises:
            CheckpointError: it is no configuration, or nested beyond reason.
        """
        self._visited = self._text = 0
        self.tree = self._plain(tree, MAX_DEPTH)
        if not isinstance(self.tree, dict):
            raise CheckpointError("its 'cfg' is not a configuration")

    def get(self, path: str, default: Any = None) -> Any:
        """Return the value at `path` (`model.policy.shift_action`) with all references in it resolved.

        A path that does not exist, a value of None and one that was never set (`???`) give `default`.
        """
        value = self._resolved(self._find(path, MAX_DEPTH), MAX_DEPTH)
        return default if value is None or value == MISSING else value

    def _count(self, depth: int) -> None:
        self._visited += 1
        if depth == 0 or self._visited > MAX_VISITS:
            raise CheckpointError("its configuration is nested beyond reason, or has references in a circle")

    def _copied(self, text: str) -> str:
        self._text += len(text)
        if self._text > MAX_TEXT:
            raise CheckpointError(f"its configuration unfolds to more than {MAX_TEXT} characters")
        return text

    def _plain(self, node: Any, depth: int) -> Any:
        self._count(depth)
        if isinstance(node, Record):
            state = node.state if isinstance(node.state, dict) else {}
            if node.name.startswith("omegaconf."):  # a container has _content, a leaf has _val
                return self._plain(state.get("_content", state.get("_val")), depth - 1)
            if node.name.startswith("pathlib."):
                return "/".join(self._copied(part) for part in node.args if isinstance(part, str))
            return None
        if isinstance(node, dict):
            return {self._copied(str(key)): self._plain(value, depth - 1) for key, value in node.items()}
        if isinstance(node, (list, tuple)):
            return [self._plain(value, depth - 1) for value in node]
        if isinstance(node, str):
            return self._copied(node)
        return node if isinstance(node, (int, float, bool)) else None

    def _find(self, path: str, depth: int) -> Any:
        node: Any = self.tree
        for key in path.split("."):
            node = self._follow(node, depth)
            if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            else:
                node = node.get(key) if isinstance(node, dict) else None
        return self._follow(node, depth)

    def _follow(self, node: Any, depth: int) -> Any:
        self._count(depth)
        reference = REFERENCE.fullmatch(node) if isinstance(node, str) else None
        return self._find(reference[1], depth - 1) if reference else node

    def _resolved(self, node: Any, depth: int) -> Any:
        node = self._follow(node, depth)
        if isinstance(node, dict):
            return {key: self._resolved(value, depth - 1) for key, value in node.items()}
        if isinstance(node, list):
            return [self._resolved(value, depth - 1) for value in node]
        return node
