# SPDX-License-Identifier: Apache-2.0
"""Options from text: values, defaults, and errors of one line."""

import re
from dataclasses import fields

import pytest

from uva_bringup import stack
from uva_bringup.options import MASK_MODES, OptionError, StackOptions, as_text, describe_options
from uva_core import MaskMode
from uva_policy_node.parameters import MODES


def test_texts_become_values_of_the_options_type():
    options = StackOptions.parse(["robot:=loopback", "seed:=7", "autostart:=False", "rviz:=1", "namespace:=left"])
    assert options == StackOptions(robot="loopback", seed=7, autostart=False, rviz=True, namespace="left")


def test_last_of_equal_names_counts():
    assert StackOptions.parse(["seed:=1", "seed:=2"]).seed == 2


def test_value_may_hold_the_separator_and_be_empty():
    assert StackOptions.parse(["camera_topic:=a:=b"]).camera_topic == "a:=b"
    assert StackOptions.parse(["model:="]) == StackOptions()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("robot:=ur5", r"^robot:=ur5 is not one of: sim, x5, loopback$"),
        ("mask_mode:=dream", r"^mask_mode:=dream is not one of: policy, video, .*, policy_planner$"),
        ("robto:=sim", r"^unknown option 'robto' \(there are: robot, mask_mode, "),
        ("sim", r"^'sim' is not of the form name:=value$"),
        ("seed:=many", r"^seed:=many is not a whole number$"),
        ("rviz:=perhaps", r"^rviz:=perhaps is not one of: true, false$"),
        ("arm_model:=L5", r"^arm_model:=L5 cannot be simulated: robot:=sim is an X5_umi$"),
        ("dry_run:=true", r"^dry_run:=true is for robot:=x5: the simulated arm is there to move$"),
        ("guard:=on", r"^guard:=on is not one of: off, slow, hold$"),
        ("robot:=x5", r"^robot:=x5 needs model:=FILE: the shipped weights have only ever moved a simulated arm$"),
        ("params_file:=nowhere.yaml", r"^params_file:=nowhere.yaml: no such file$"),
        ("model:=nowhere.safetensors", r"^model:=nowhere.safetensors: no such file$"),
        ("model:=/", r"^model:=/ is not a file$"),
        ("seed:=-1", r"^seed:=-1 is not from 0 to 9223372036854775807$"),
        ("seed:=9223372036854775808", r"^seed:=9223372036854775808 is not from 0 to"),
        ("namespace:=a b", r"^namespace:=a b is not of the form left or /cell1/left$"),
        ("namespace:=left//", r"^namespace:=left// is not of"),
    ],
)
def test_wrong_argument_is_explained_in_one_line(argument, message):
    with pytest.raises(OptionError, match=message):
        StackOptions.parse([argument])


@pytest.mark.parametrize("namespace", ["", "/", "left", "/left/", "/cell1/left"])
def test_namespace_may_have_slashes_at_its_ends(namespace):
    assert StackOptions(namespace=namespace).namespace == namespace


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "is not YAML: "),
        ("a: \x00", "is not YAML: "),
        ("&a {b: *a}", "is not YAML: "),
        ("[1, 2]", "is not of the form NODE: {ros__parameters: {NAME: VALUE}}"),
        ("dry_run: true", "is not of the form"),
        ("/**/arx_x5_driver: {dry_run: true}", "is not of the form"),
        ("/**/arx_x5_driver: {ros__parameters: true}", "is not of the form"),
        ("/**/arx_x5_driver:", "is not of the form"),
    ],
)
def test_parameter_file_of_another_form_is_refused_in_one_line(tmp_path, text, reason):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(OptionError, match=f"^params_file:={path} {re.escape(reason)}") as refusal:
        StackOptions(params_file=str(path))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "left: {arx_x5_driver: {ros__parameters: {dry_run: true}}}", "/**: {ros__parameters: {}}"],
)
def test_parameter_file_of_any_form_that_ros_reads_is_taken(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert StackOptions(params_file=str(path)).params_file == str(path)


def test_every_option_is_described_with_its_default_and_survives_the_way_through_text():
    text = describe_options()
    for option in fields(StackOptions):
        assert f"{option.name}:=" in text
        assert option.metadata["description"] in text
    default = StackOptions()
    as_texts = {option.name: as_text(getattr(default, option.name)) for option in fields(default)}
    assert StackOptions.from_strings(as_texts) == default


def test_mask_modes_are_those_of_the_stack_the_node_and_the_model():
    assert set(MASK_MODES) == set(stack._MODES)
    assert set(MASK_MODES) == set(MODES)
    assert set(MASK_MODES) == {mode.value for mode in MaskMode}
