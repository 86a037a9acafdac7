# SPDX-License-Identifier: Apache-2.0
"""Model presets as data: YAML files beside this one."""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml


def names() -> list[str]:
    """Return the names of all presets."""
    return sorted(p.name.removesuffix(".yaml") for p in resources.files(__name__).iterdir() if p.name.endswith(".yaml"))


def load(name: str) -> dict[str, Any]:
    """Return preset `name` as nested dicts: `config` (a UvaConfig) and its training recipes.

    Raises:
        ValueError: unknown preset; the message lists the known ones.
    """
    if name not in names():
        raise ValueError(f"unknown preset '{name}'; choose one of: {', '.join(names())}")
    text = (resources.files(__name__) / f"{name}.yaml").read_text()
    return dict(yaml.safe_load(text))
