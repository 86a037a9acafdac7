# SPDX-License-Identifier: Apache-2.0
"""Parameters described once, as fields of a dataclass. No ROS in here.

@dataclass(frozen=True)
class CameraParameters:
    rate_hz: float = param(20.0, "Images a second [Hz].", low=0.1, high=1000.0)
    encoding: str = param("rgb8", "Encoding of the images.", choices=("rgb8", "bgr8"))
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_KEY = "parameter"
_ARTICLES = {
    bool: "a bool (true or false)",
    int: "an integer",
    float: "a float (10 is written 10.0)",
    str: "a string",
    list[float]: "a list of floats (10 is written 10.0)",
    list[str]: "a list of strings",
}


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter. `low`, `high` and `choices` hold for every element of a list."""

    name: str
    type: Any
    default: Any
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] | None = None
    read_only: bool = True

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with `value` as the end of a sentence about it, None if nothing is."""
        if not _is_a(value, self.type):
            return f"must be {_ARTICLES[self.type]}, got {value!r}"
        for element in value if isinstance(value, list) else [value]:
            if isinstance(element, float) and not math.isfinite(element):
                return f"must be finite, got {element!r}"
            if self.choices is not None and element not in self.choices:
                return f"must be one of {', '.join(map(str, self.choices))}, got {element!r}"
            if (self.low is not None and element < self.low) or (self.high is not None and element > self.high):
                return f"must be {self.range_text}, got {element!r}"
        return None

    @property
    def range_text(self) -> str:
        """The allowed range in words, empty if there is none."""
        if self.low is not None and self.high is not None:
            return f"between {self.low:g} and {self.high:g}"
        if self.low is not None:
            return f"at least {self.low:g}"
        return "" if self.high is None else f"at most {self.high:g}"


def param(
    default: Any,
    description: str,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Any] | None = None,
    read_only: bool = True,
) -> Any:
    """Return a dataclass field that is a parameter.

    Args:
        default: Value if no other is given. A list is copied for each instance.
        description: One sentence with the unit in brackets. Shown by `ros2 param describe`.
        low: Smallest allowed value.
        high: Largest allowed value.
        choices: The allowed values.
        read_only: Whether the value is fixed when the node starts.
    """
    metadata = {
        _KEY: {
            "default": default,
            "description": description,
            "low": low,
            "high": high,
            "choices": None if choices is None else tuple(choices),
            "read_only": read_only,
        }
    }
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def parameter_specs(parameters: type) -> list[ParameterSpec]:
    """Return a specification for each field of the dataclass `parameters`, in their order.

    Raises:
        TypeError: A field is not made with `param`, has another type than bool, int, float, str, list[float] or
            list[str], or a default that is not allowed. The default of a list needs an element, because rclpy takes
            the type of the parameter from it.
    """
    types = typing.get_type_hints(parameters)
    specs = []
    for field in dataclasses.fields(parameters):
        where = f"{parameters.__name__}.{field.name}"
        if _KEY not in field.metadata:
            raise TypeError(f"{where} is not made with param()")
        if types[field.name] not in _ARTICLES:
            raise TypeError(f"{where} cannot be of type {types[field.name]}")
        spec = ParameterSpec(name=field.name, type=types[field.name], **field.metadata[_KEY])
        if spec.default == []:
            raise TypeError(f"the default of {where} is an empty list")
        if problem := spec.problem(spec.default):
            raise TypeError(f"the default of {where} {problem}")
        specs.append(spec)
    return specs


def _is_a(value: Any, wanted: Any) -> bool:
    if typing.get_origin(wanted) is list:
        (element,) = typing.get_args(wanted)
        return isinstance(value, list) and all(_is_a(item, element) for item in value)
    return type(value) is wanted
