# SPDX-License-Identifier: Apache-2.0
"""Parameters as fields of a dataclass, without ROS."""

from dataclasses import dataclass

import pytest

from uva_node_utils.specs import param, parameter_specs


@dataclass(frozen=True)
class Sample:
    """One parameter of every type."""

    enabled: bool = param(True, "Whether.")
    count: int = param(3, "How many.", low=1, high=5)
    rate_hz: float = param(20.0, "Rate [Hz].", low=0.1)
    mode: str = param("fast", "Which.", choices=("fast", "slow"), read_only=False)
    limits: list[float] = param([1.0, 2.0], "Limits [rad].", high=3.0)
    names: list[str] = param(["a"], "Names.")


SPECS = {spec.name: spec for spec in parameter_specs(Sample)}


def test_the_dataclass_keeps_its_defaults_and_does_not_share_lists():
    first, second = Sample(), Sample()
    assert (first.enabled, first.count, first.rate_hz, first.mode, first.names) == (
        True,
        3,
        20.0,
        "fast",
        ["a"],
    )
    assert first.limits == [1.0, 2.0]
    assert first.limits is not second.limits


def test_specs_carry_what_the_fields_say():
    assert list(SPECS) == ["enabled", "count", "rate_hz", "mode", "limits", "names"]
    assert SPECS["limits"].type == list[float]
    assert SPECS["mode"].choices == ("fast", "slow")
    assert SPECS["count"].read_only
    assert not SPECS["mode"].read_only


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enabled", False),
        ("count", 1),
        ("count", 5),
        ("rate_hz", 0.1),
        ("rate_hz", 1e300),
        ("mode", "slow"),
        ("limits", [3.0, -5.0]),
        ("names", ["b", "c"]),
    ],
)
def test_allowed_values(name, value):
    assert SPECS[name].problem(value) is None


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("enabled", 1, "must be a bool (true or false), got 1"),
        ("count", True, "must be an integer, got True"),
        ("count", 6, "must be between 1 and 5, got 6"),
        ("rate_hz", 10, "must be a float (10 is written 10.0), got 10"),
        ("rate_hz", 0.0, "must be at least 0.1, got 0.0"),
        ("rate_hz", float("nan"), "must be finite, got nan"),
        ("rate_hz", float("inf"), "must be finite, got inf"),
        ("limits", [1.0, float("nan")], "must be finite, got nan"),
        ("limits", [float("-inf")], "must be finite, got -inf"),
        ("mode", "medium", "must be one of fast, slow, got 'medium'"),
        ("limits", [1.0, 3.5], "must be at most 3, got 3.5"),
        ("limits", [1, 2], "must be a list of floats (10 is written 10.0), got [1, 2]"),
        ("names", "a", "must be a list of strings, got 'a'"),
        ("names", None, "must be a list of strings, got None"),
    ],
)
def test_forbidden_values_are_named(name, value, problem):
    assert SPECS[name].problem(value) == problem


def make(annotation: object, default: object) -> type:
    return dataclass(type("Wrong", (), {"__annotations__": {"x": annotation}, "x": default}))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (make(int, 3), "Wrong.x is not made with param()"),
        (make(bytes, param(b"", "No such type here.")), "Wrong.x cannot be of type"),
        (make(float, param(3, "An integer.")), "the default of Wrong.x must be a float"),
        (make(int, param(3, "Too many.", high=2)), "the default of Wrong.x must be at most 2"),
        (make(list[str], param([], "No type.")), "the default of Wrong.x is an empty list"),
    ],
)
def test_mistakes_in_a_description_are_found(parameters, message):
    with pytest.raises(TypeError) as error:
        parameter_specs(parameters)
    assert message in str(error.value)
