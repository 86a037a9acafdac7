# SPDX-License-Identifier: Apache-2.0
"""TODO."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")


def _require_positive(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not (isinstance(value, (int, float)) and value > 0):
            raise ValueError(f"{name} must be a positive number, got {value!r}")


def to_dict(config: Any) -> dict[str, Any]:
    """Return a configuration as plain nested dicts and lists (for JSON and YAML)."""
    return dataclasses.asdict(config)


def from_dict(cls: type[T], values: Any) -> T:
    """Build configuration `cls` from nested dicts.

    Raises:
        ValueError: a key that `cls` does not have, or a value of another type; the message names it.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{cls.__name__} must be a mapping, got {values!r}")
    types = get_type_hints(cls)
    unknown = sorted(values.keys() - types.keys())
    if unknown:
        raise ValueError(f"{cls.__name__} has no field {', '.join(unknown)}; known: {', '.join(types)}")
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(types[name]):
            value = from_dict(types[name], value)
        elif isinstance(value, list):
            value = tuple(value)
        arguments[name] = value
    try:
        return cls(**arguments)
    except TypeError as error:  # a comparison or division of the wrong type
        raise ValueError(f"{cls.__name__}: {error}") from None
