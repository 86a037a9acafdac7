# SPDX-License-Identifier: Apache-2.0
"""Configurations from plain values, checked against the types of their fields, and text from files made printable."""

from __future__ import annotations

import dataclasses
import math
import reprlib
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

KINDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text"}


def to_dict(config: Any) -> dict[str, Any]:
    """Return a configuration as plain nested dicts and lists (for JSON and YAML)."""
    return dataclasses.asdict(config)


def from_dict(cls: type[T], values: Any) -> T:
    """Build configuration `cls` from nested dicts. Each value must have the type of its field, numbers must be finite.

    Raises:
        ValueError: a key that `cls` does not have, or a value of another type or out of range; the message names it.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{cls.__name__} must be a mapping, got {reprlib.repr(values)}")
    types = get_type_hints(cls)
    unknown = sorted(printable(str(name)) for name in values.keys() - types.keys())
    if unknown:
        raise ValueError(f"{cls.__name__} has no field {', '.join(unknown[:3])}; known: {', '.join(types)}")
    arguments = {name: _typed(f"{cls.__name__}.{name}", types[name], value) for name, value in values.items()}
    try:
        return cls(**arguments)
    except TypeError as error:  # a field without a default is missing
        raise ValueError(f"{cls.__name__}: {error}") from None


def require_within(config: object, low: float, high: float, *names: str) -> None:
    """Check that numbers lie in [low, high].

    Raises:
        ValueError: one of the fields `names` of `config` does not; the message names it.
    """
    for name in names:
        value = getattr(config, name)
        if not low <= value <= high:
            raise ValueError(f"{name} is {reprlib.repr(value)}; choose {low} to {high}")


def printable(text: str, limit: int = 200) -> str:
    """Return text from a file for a terminal or a log: cut to `limit` characters, control characters escaped."""
    cut = text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)


def _typed(name: str, wanted: Any, value: Any) -> Any:
    """Return `value` as type `wanted` of the field `name`: a dataclass, a key of `KINDS`, or X | None, tuple, dict."""
    if dataclasses.is_dataclass(wanted):
        return from_dict(wanted, value)  # type: ignore[arg-type]
    origin, inner = get_origin(wanted), get_args(wanted)
    if NoneType in inner:
        return None if value is None else _typed(name, inner[0], value)
    if origin is tuple and isinstance(value, (list, tuple)):
        kinds = (inner[0],) * len(value) if inner[-1] is Ellipsis else inner
        if len(kinds) == len(value):
            return tuple(_typed(name, kind, item) for kind, item in zip(kinds, value, strict=True))
    if origin is dict and isinstance(value, dict):
        return {_typed(name, inner[0], key): _typed(name, inner[1], item) for key, item in value.items()}
    if wanted is float and type(value) is int and value.bit_length() < 1000:
        return float(value)
    if type(value) is wanted and (wanted is not float or math.isfinite(value)):
        return value
    raise ValueError(f"{name} must be {KINDS.get(wanted, wanted)}, got {reprlib.repr(value)}")
