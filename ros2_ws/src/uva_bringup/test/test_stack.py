# SPDX-License-Identifier: Apache-2.0
"""The description of the stack for every choice of options."""

from itertools import product
from pathlib import Path

import pytest
import yaml

from uva_bringup.options import MASK_MODES, ROBOTS, StackOptions
from uva_bringup.stack import NodeSpec, stack

SHARE = Path(__file__).parents[1]
CONFIG = SHARE / "config"


def described(**options) -> dict[str, NodeSpec]:
    return {spec.label: spec for spec in stack(StackOptions(**options), SHARE)}


@pytest.mark.parametrize(("robot", "mask_mode"), list(product(ROBOTS, MASK_MODES)))
def test_every_robot_runs_in_every_mode(robot, mask_mode):
    specs = described(robot=robot, mask_mode=mask_mode, model="mine.safetensors")
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


def test_robots_differ_in_what_drives_the_arm():
    sim = described(robot="sim", seed=5)["sim"]
    assert (sim.package, sim.executable, sim.name) == ("arx_x5_sim", "sim", None)
    assert sim.parameters["sim_camera"]["seed"] == 5
    x5 = described(robot="x5", can_interface="can3", arm_model="L5", model="mine.safetensors")["arx_x5_driver"]
    assert (x5.package, x5.executable, x5.name) == ("arx_x5_driver", "driver", "arx_x5_driver")
    assert x5.parameters["arx_x5_driver"] == {
        "autostart": True,
        "arm_model": "L5",
        "guard": "off",
        "dry_run": False,
        "arm": "sdk",
        "can_interface": "can3",
    }
    loopback = described(robot="loopback")["arx_x5_driver"]
    assert loopback.parameters["arx_x5_driver"]["arm"] == "loopback"


def test_model_is_the_shipped_one_unless_chosen():
    def model(**options) -> str:
        return described(**options)["uva_policy_node"].parameters["uva_policy_node"]["model"]

    assert model() == str(SHARE / "models" / "uva_tiny.safetensors")
    assert model(model="mine.safetensors") == str(Path("mine.safetensors").absolute())


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


@pytest.mark.parametrize(("namespace", "prefix"), [("", "/"), ("left", "/left/"), ("/left/", "/left/")])
def test_parameters_are_written_for_nodes_named_in_full(namespace, prefix):
    sim = described(namespace=namespace, seed=3)["sim"]
    content = yaml.safe_load(sim.parameters_yaml())
    assert content[f"{prefix}sim_camera"] == {"ros__parameters": {"autostart": True, "seed": 3}}
    assert f"{prefix}arx_x5_driver" in content
