# SPDX-License-Identifier: Apache-2.0
"""Declaring described parameters on a real node."""

from dataclasses import dataclass

import pytest
import rclpy
from rcl_interfaces.msg import ParameterType
from rclpy.parameter import Parameter

from uva_node_utils.parameters import ParameterError, declare, param


@dataclass(frozen=True)
class Sample:
    """Parameters of a sample node."""

    rate_hz: float = param(20.0, "Rate [Hz].", low=0.1, high=1000.0)
    count: int = param(3, "How many.", low=0)
    mode: str = param("fast", "Which.", choices=("fast", "slow"), read_only=False)
    limits: list[float] = param([1.0, 2.0], "Limits [rad].", high=3.0, read_only=False)
    names: list[str] = param(["a"], "Names.")


@pytest.fixture
def make_node(context):
    nodes = []

    def make(*cli_args: str, **overrides: object):
        node = rclpy.create_node(
            "sample",
            context=context,
            cli_args=["--ros-args", *cli_args],
            parameter_overrides=[Parameter(name, value=value) for name, value in overrides.items()],
        )
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()


def test_defaults_are_declared_with_type_range_and_description(make_node):
    node = make_node()
    assert declare(node, Sample) == Sample()
    rate = node.describe_parameter("rate_hz")
    assert (rate.type, rate.description, rate.read_only) == (
        ParameterType.PARAMETER_DOUBLE,
        "Rate [Hz].",
        True,
    )
    assert (rate.floating_point_range[0].from_value, rate.floating_point_range[0].to_value) == (0.1, 1000.0)
    assert node.describe_parameter("count").integer_range[0].from_value == 0
    assert node.describe_parameter("mode").additional_constraints == "One of fast, slow"
    assert node.get_parameter("names").value == ["a"]


def test_values_come_from_overrides(make_node):
    node = make_node(rate_hz=5.0, names=["b", "c"], limits=[0.5])
    assert declare(node, Sample) == Sample(rate_hz=5.0, names=["b", "c"], limits=[0.5])
    assert node.get_parameter("rate_hz").value == 5.0


def test_values_come_from_the_command_line(make_node):
    node = make_node("-p", "mode:=slow", "-p", "limits:=[0.5, 1.5]")
    parameters = declare(node, Sample)
    assert (parameters.mode, parameters.limits) == ("slow", [0.5, 1.5])


def test_values_come_from_a_file(make_node, tmp_path):
    path = tmp_path / "sample.yaml"
    path.write_text(
        "sample:\n  ros__parameters:\n    rate_hz: 7.5\n    names: [left, right]\n    use_sim_time: false\n"
    )
    parameters = declare(make_node("--params-file", str(path)), Sample)
    assert (parameters.rate_hz, parameters.names) == (7.5, ["left", "right"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"rate": 5.0}, "sample has no parameter 'rate': it has count, limits, mode, names, rate_hz"),
        ({"rate_hz": 5}, "parameter 'rate_hz' of sample must be a float (10 is written 10.0), got 5"),
        ({"rate_hz": 0.0}, "parameter 'rate_hz' of sample must be between 0.1 and 1000, got 0.0"),
        ({"mode": "medium"}, "parameter 'mode' of sample must be one of fast, slow, got 'medium'"),
        ({"limits": [1.0, 9.0]}, "parameter 'limits' of sample must be at most 3, got 9.0"),
    ],
)
def test_wrong_values_are_named_in_one_line(make_node, overrides, message):
    with pytest.raises(ParameterError) as error:
        declare(make_node(**overrides), Sample)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_parameters_declared_before_are_known(make_node):
    node = make_node(other=True)
    node.declare_parameter("other", False)
    declare(node, Sample)


@pytest.mark.parametrize(
    ("name", "value", "successful"),
    [
        ("mode", "slow", True),
        ("mode", "medium", False),
        ("limits", [2.0], True),
        ("limits", [4.0], False),
        ("rate_hz", 10.0, False),
    ],
)
def test_changes_at_run_time_are_checked(make_node, name, value, successful):
    node = make_node()
    declare(node, Sample)
    (result,) = node.set_parameters([Parameter(name, value=value)])
    assert result.successful is successful
    assert bool(result.reason) is not successful
