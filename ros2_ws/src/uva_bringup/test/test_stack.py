# SPDX-License-Identifier: Apache-2.0
"""The description of the stack for every choice of options."""

from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import pytest
import rclpy
import yaml
from rclpy.context import Context
from rclpy.node import Node

from uva_bringup.command import write_parameters
from uva_bringup.options import MASK_MODES, ROBOTS, StackOptions
from uva_bringup.stack import DRIVER, NodeSpec, stack

SHARE = Path(__file__).parents[1]
CONFIG = SHARE / "config"


def described(**options) -> dict[str, NodeSpec]:
    return {spec.label: spec for spec in stack(StackOptions(**options), SHARE)}


@pytest.fixture
def model(tmp_path) -> Path:
    """A checkpoint of the user's own."""
    path = tmp_path / "mine.safetensors"
    path.touch()
    return path


@pytest.mark.parametrize(("robot", "mask_mode"), list(product(ROBOTS, MASK_MODES)))
def test_every_robot_runs_in_every_mode(robot, mask_mode, model):
    specs = described(robot=robot, mask_mode=mask_mode, model=str(model))
    assert list(specs) == ["sim" if robot == "sim" else "arx_x5_driver", "uva_policy_node"]
    assert specs["uva_policy_node"].parameters["uva_policy_node"]["mask_mode"] == mask_mode
    for spec in specs.values():
        for file in spec.parameter_files:
            assert file.is_file(), file


@pytest.mark.parametrize("file", sorted(CONFIG.glob("*.yaml")), ids=lambda file: file.name)
def test_parameter_files_hold_in_any_namespace(file):
    for node, content in yaml.safe_load(file.read_text()).items():
        assert node.startswith("/**/")
        assert list(content) == ["ros__parameters"]


def test_robots_differ_in_what_drives_the_arm(model):
    sim = described(robot="sim", seed=5)["sim"]
    assert (sim.package, sim.executable, sim.name) == ("arx_x5_sim", "sim", None)
    assert sim.parameters["sim_camera"]["seed"] == 5
    x5 = described(robot="x5", can_interface="can3", arm_model="L5", model=str(model))["arx_x5_driver"]
    assert (x5.package, x5.executable, x5.name) == ("arx_x5_driver", "driver", "arx_x5_driver")
    assert x5.parameters["arx_x5_driver"] == {
        "autostart": True,
        "arm_model": "L5",
        "arm": "sdk",
        "can_interface": "can3",
    }
    loopback = described(robot="loopback")["arx_x5_driver"]
    assert loopback.parameters["arx_x5_driver"]["arm"] == "loopback"


def test_options_that_were_not_given_leave_a_parameter_file_alone(model):
    quiet = described(robot="x5", model=str(model))["arx_x5_driver"].parameters["arx_x5_driver"]
    assert not {"dry_run", "guard"} & quiet.keys()
    asked = described(robot="x5", model=str(model), dry_run=True, guard="hold")["arx_x5_driver"]
    assert asked.parameters["arx_x5_driver"]["dry_run"] is True
    assert asked.parameters["arx_x5_driver"]["guard"] == "hold"


def test_model_is_the_shipped_one_unless_chosen(model, monkeypatch):
    def loaded(**options) -> str:
        return described(**options)["uva_policy_node"].parameters["uva_policy_node"]["model"]

    assert loaded() == str(SHARE / "models" / "uva_tiny.safetensors")
    monkeypatch.chdir(model.parent)
    assert loaded(model="mine.safetensors") == str(model)


def test_camera_topic_is_remapped_for_all_who_use_it_and_brings_its_camera_info():
    expected = (("camera/image_raw", "/front/image"), ("camera/camera_info", "/front/camera_info"))
    for spec in described(camera_topic="/front/image").values():
        assert spec.remappings == expected
    assert described()["uva_policy_node"].remappings == ()


def test_options_for_all_reach_all():
    for spec in described(namespace="left", log_level="debug", autostart=False).values():
        assert (spec.namespace, spec.log_level) == ("left", "debug")
        for values in spec.parameters.values():
            assert values["autostart"] is False


def test_users_file_comes_after_those_of_the_stack(tmp_path):
    users = tmp_path / "mine.yaml"
    users.touch()
    for spec in described(params_file=str(users)).values():
        assert spec.parameter_files[-1] == users
        assert len(spec.parameter_files) > 1


def test_driver_outlives_the_policy_until_its_hold_is_seen_but_not_the_other_way_round():
    specs = described()
    longest_chunk_s, hold_s = 1.6, 0.3
    assert specs["uva_policy_node"].linger_s > longest_chunk_s + hold_s
    assert specs["sim"].linger_s == 0.0


def test_rviz_shows_the_topics_of_the_namespace():
    rviz = described(rviz=True, namespace="left", camera_topic="/front/image")["rviz2"]
    assert ("/uva/predicted_image", "uva/predicted_image") in rviz.remappings
    assert ("/camera/image_raw", "/front/image") in rviz.remappings
    assert Path(rviz.arguments[1]).is_file()
    shown = Path(rviz.arguments[1]).read_text()
    for topic, _ in rviz.remappings:
        assert f"Value: {topic}" in shown


# Every pattern by which a user's file may name the driver in the namespace "left"; each would enable motion.
USERS_PATTERNS = ("/left/arx_x5_driver", "/**/arx_x5_driver", "/*/arx_x5_driver", "/left/**", "/**", "/**/*")


@pytest.mark.system
@pytest.mark.parametrize("pattern", USERS_PATTERNS)
def test_options_reach_the_driver_in_any_namespace_and_win_over_every_file(tmp_path, model, pattern):
    users = tmp_path / "mine.yaml"
    users.write_text(yaml.safe_dump({pattern: {"ros__parameters": {"dry_run": False, "autostart": True}}}))
    driver = described(robot="x5", model=str(model), dry_run=True, autostart=False, params_file=str(users))[DRIVER]
    files = write_parameters(driver, tmp_path)
    context = Context()
    rclpy.init(args=["--ros-args", *(word for file in files for word in ("--params-file", str(file)))], context=context)
    try:
        for namespace in ("", "/left", "/cell1/left"):
            node = Node(DRIVER, namespace=namespace, context=context)
            dry_run, autostart = node.declare_parameter("dry_run", False), node.declare_parameter("autostart", True)
            assert (namespace, dry_run.value, autostart.value) == (namespace, True, False)
            node.destroy_node()
    finally:
        rclpy.shutdown(context=context)


def test_all_that_is_started_is_a_dependency():
    manifest = ElementTree.parse(SHARE / "package.xml")
    depended_on = {element.text for element in manifest.iter("exec_depend")}
    started = {spec.package for robot in ("sim", "loopback") for spec in described(robot=robot, rviz=True).values()}
    assert started | {"launch", "launch_ros", "ros2launch"} <= depended_on
