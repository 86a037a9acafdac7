# SPDX-License-Identifier: Apache-2.0
"""The launch file, where ROS 2's launch is installed."""

import importlib.util
import os
from dataclasses import fields
from pathlib import Path

import pytest

from uva_bringup.options import OptionError, StackOptions

launch_ros = pytest.importorskip("launch_ros.actions")
import launch  # noqa: E402
import launch.events  # noqa: E402

FILE = Path(__file__).parents[1] / "launch" / "uva.launch.py"


@pytest.fixture
def module():
    spec = importlib.util.spec_from_file_location("uva_launch", FILE)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def context(tmp_path, monkeypatch):
    """A launch context with all arguments at their defaults, and a prefix that has all executables."""
    packages = tmp_path / "share/ament_index/resource_index/packages"
    packages.mkdir(parents=True)
    for package, executable in (("arx_x5_sim", "sim"), ("uva_policy_node", "policy")):
        (packages / package).touch()
        (tmp_path / "lib" / package).mkdir(parents=True)
        (tmp_path / "lib" / package / executable).touch(mode=0o755)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path}:{os.environ['AMENT_PREFIX_PATH']}")
    context = launch.LaunchContext()
    for option in fields(StackOptions):
        context.launch_configurations[option.name] = str(option.default)
    return context


def test_every_option_is_a_described_argument(module):
    declared = {a.name: a for a in module.generate_launch_description().get_launch_arguments()}
    assert list(declared) == [option.name for option in fields(StackOptions)]
    for option in fields(StackOptions):
        assert declared[option.name].description.startswith(option.metadata["description"])
        assert tuple(declared[option.name].choices or ()) == option.metadata["choices"]


def test_stack_becomes_nodes(module, context):
    _, sim, policy = module.start_stack(context)
    assert not isinstance(sim, launch_ros.LifecycleNode)
    assert isinstance(policy, launch_ros.LifecycleNode)
    assert (sim.node_package, sim.node_executable) == ("arx_x5_sim", "sim")


def test_parameter_files_are_removed_on_shutdown(module, context, tmp_path, monkeypatch):
    folder = tmp_path / "parameters"
    folder.mkdir()
    monkeypatch.setattr(module, "mkdtemp", lambda **_: str(folder))
    tidy_up, *_ = module.start_stack(context)
    assert list(folder.iterdir())
    tidy_up.event_handler.handle(launch.events.Shutdown(reason="test"), context)
    assert not folder.exists()


def test_wrong_values_and_missing_nodes_are_errors_before_anything_runs(module, context):
    context.launch_configurations["arm_model"] = "L5"
    with pytest.raises(OptionError, match="cannot be simulated"):
        module.start_stack(context)
    context.launch_configurations.update(arm_model="X5_umi", rviz="true")
    with pytest.raises(RuntimeError, match="package 'rviz2'"):
        module.start_stack(context)
