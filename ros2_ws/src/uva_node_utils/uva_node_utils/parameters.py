# SPDX-License-Identifier: Apache-2.0
"""Declare the parameters that a dataclass describes on a node."""

from __future__ import annotations

import math
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from uva_node_utils.errors import ParameterError
from uva_node_utils.specs import ParameterSpec, param, parameter_specs

__all__ = ["ParameterError", "ParameterSpec", "declare", "param", "parameter_specs"]

_Parameters = TypeVar("_Parameters")

_INT64 = 2**63


def declare(node: Node, parameters: type[_Parameters]) -> _Parameters:
    """Declare every field of `parameters` on `node` and return an instance with their values.

    Values come from parameter files, the command line and the node's constructor, as usual in ROS. Changes at
    run time are refused for read-only parameters and checked for the others; the returned instance does not
    change. Call it once for a node, after everything else that declares parameters.

    Raises:
        ParameterError: A value has the wrong type or is not allowed, or a value was given for a parameter that the
            node does not have, which is usually a misspelling.
    """
    specs = {spec.name: spec for spec in parameter_specs(parameters)}
    given = _given_values(node)
    known = specs.keys() | node.get_parameters_by_prefix("").keys()
    for name in sorted(given.keys() - known):
        if not name.startswith("qos_overrides."):
            raise ParameterError(f"{node.get_name()} has no parameter '{name}': it has {', '.join(sorted(known))}")
    values = {name: given.get(name, spec.default) for name, spec in specs.items()}
    for name, spec in specs.items():
        if problem := spec.problem(values[name]):
            raise ParameterError(f"parameter '{name}' of {node.get_name()} {problem}")

    for spec in specs.values():
        node.declare_parameter(spec.name, spec.default, _descriptor(spec))

    def check(changes: list[Parameter]) -> SetParametersResult:
        for change in changes:
            if change.name in specs and (problem := specs[change.name].problem(_plain(change.value))):
                return SetParametersResult(successful=False, reason=f"'{change.name}' {problem}")
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(check)
    return parameters(**values)


def _given_values(node: Node) -> dict[str, Any]:
    # rclpy has no public way to ask for values that were given but not declared.
    return {name: _plain(parameter.value) for name, parameter in node._parameter_overrides.items()}


def _plain(value: Any) -> Any:
    """Return a list where rclpy gives a tuple or an array."""
    return value if isinstance(value, (bool, int, float, str)) or value is None else list(value)


def _descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=spec.description, read_only=spec.read_only)
    if spec.choices is not None:
        descriptor.additional_constraints = f"One of {', '.join(map(str, spec.choices))}"
    elif spec.range_text:
        descriptor.additional_constraints = spec.range_text
        if spec.type is float:
            low = -math.inf if spec.low is None else float(spec.low)
            high = math.inf if spec.high is None else float(spec.high)
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        elif spec.type is int:
            low = -_INT64 if spec.low is None else int(spec.low)
            high = _INT64 - 1 if spec.high is None else int(spec.high)
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    return descriptor
