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
    """Return preset `name` as nested dicts: `config` (a UvaConfig) and, where it has them, its training recipes.

    Raises:
        ValueError: unknown preset; the message lists the known ones.
    """
    if name not in names():
        raise ValueError(f"unknown preset '{name}'; choose one of: {', '.join(names())}")
    text = (resources.files(__name__) / f"{name}.yaml").read_text()
    return dict(yaml.safe_load(text))


def recipe(name: str, section: str) -> dict[str, Any]:
    """Return a training recipe of preset `name`: `training` or `tokenizer_training`.

    Raises:
        ValueError: unknown preset, or one for weights that were trained elsewhere.
    """
    preset = load(name)
    if section not in preset:
        able = ", ".join(other for other in names() if section in load(other))
        raise ValueError(f"preset '{name}' has no {section} recipe (it is for imported weights); with one: {able}")
    return dict(preset[section])
