# SPDX-License-Identifier: Apache-2.0
"""The launch file, where ROS 2's launch is installed."""

import importlib.util
import os
import signal
import sys
import time
from dataclasses import fields
from pathlib import Path

import psutil
import pytest
import yaml

from uva_bringup.demo.domain import free_domain_id
from uva_bringup.options import OptionError, StackOptions

launch_ros = pytest.importorskip("launch_ros.actions")
import launch  # noqa: E402
import launch.logging  # noqa: E402

FILE = Path(__file__).parents[1] / "launch" / "uva.launch.py"

# Stands in for the policy, which takes its time to start.
POLICY = """
import time
from uva_node_utils.process import prepare_process
prepare_process()
print("the policy waits", flush=True)
time.sleep(60)
"""

# Another launch file that includes this one, as a cell with two arms would.
PUSHED = f"""
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch_ros.actions import PushRosNamespace

def generate_launch_description():
    options = {{"robot": "loopback", "dry_run": "true", "namespace": "left"}}.items()
    return LaunchDescription(
        [GroupAction([PushRosNamespace("cell1"), IncludeLaunchDescription({str(FILE)!r}, launch_arguments=options)])]
    )
"""


def install(prefix: Path, package: str, executable: str, content: str) -> None:
    """Install an executable below a prefix."""
    packages = prefix / "share/ament_index/resource_index/packages"
    packages.mkdir(parents=True, exist_ok=True)
    (packages / package).touch()
    path = prefix / "lib" / package / executable
    path.parent.mkdir(parents=True)
    path.write_text(content)
    path.chmod(0o755)


@pytest.fixture
def module():
    spec = importlib.util.spec_from_file_location("uva_launch", FILE)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def context(tmp_path, monkeypatch):
    """A launch context with all arguments at their defaults, and a prefix that has all executables."""
    for package, executable in (("arx_x5_sim", "sim"), ("uva_policy_node", "policy")):
        install(tmp_path, package, executable, "")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path}:{os.environ['AMENT_PREFIX_PATH']}")
    (tmp_path / "log").mkdir()
    monkeypatch.setattr(launch.logging.launch_config, "_log_dir", str(tmp_path / "log"))
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
    sim, policy = module.start_stack(context)
    assert not isinstance(sim, launch_ros.LifecycleNode)
    assert isinstance(policy, launch_ros.LifecycleNode)
    assert (sim.node_package, sim.node_executable) == ("arx_x5_sim", "sim")


def test_two_stacks_in_one_launch_have_parameters_of_their_own(module, context, tmp_path):
    module.start_stack(context)
    context.launch_configurations["seed"] = "7"
    module.start_stack(context)
    files = [yaml.safe_load(file.read_text()) for file in tmp_path.glob("log/parameters_*/sim.yaml")]
    assert sorted(file["/**/**/sim_camera"]["ros__parameters"]["seed"] for file in files) == [0, 7]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("arm_model", "L5", "cannot be simulated"),
        ("model", "nowhere.safetensors", "no such file"),
        ("robot", "loopback", "package 'arx_x5_driver' is not in AMENT_PREFIX_PATH"),
    ],
)
def test_wrong_values_and_missing_nodes_are_errors_before_anything_runs(
    module, context, monkeypatch, tmp_path, option, value, message
):
    monkeypatch.setattr("uva_bringup.stack.share_directory", lambda: FILE.parents[1])
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    context.launch_configurations[option] = value
    with pytest.raises((OptionError, RuntimeError), match=message):
        module.start_stack(context)


class Launched:
    """`ros2 launch` of a file, and what it prints."""

    def __init__(self, folder: Path, file: Path, *arguments: str) -> None:
        self.log = folder / "output"
        (folder / "tmp").mkdir()
        environment = os.environ | {"TMPDIR": str(folder / "tmp"), "ROS_LOG_DIR": str(folder / "ros_log")}
        command = ["ros2", "launch", str(file), *arguments]
        with self.log.open("w") as log:
            self.process = psutil.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)

    @property
    def output(self) -> str:
        return self.log.read_text()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)


@pytest.fixture
def waiting_policy(tmp_path, monkeypatch):
    """Install a policy that only waits in front of the real one."""
    install(tmp_path, "uva_policy_node", "policy", f"#!{sys.executable}\n{POLICY}")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path}:{os.environ['AMENT_PREFIX_PATH']}")


@pytest.fixture
def launched(tmp_path, monkeypatch):
    """Return a function that launches a file."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(free_domain_id()))
    started: list[Launched] = []

    def start(file: Path, *arguments: str) -> Launched:
        started.append(Launched(tmp_path, file, *arguments))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.mark.system
@pytest.mark.usefixtures("waiting_policy")
def test_options_reach_the_driver_under_a_pushed_namespace(launched, tmp_path, eventually):
    file = tmp_path / "pushed.launch.py"
    file.write_text(PUSHED)
    stack = launched(file)
    assert eventually(lambda: "arx_x5_driver drives" in stack.output), stack.output
    assert "/cell1/left/arx_x5_driver drives loopback X5_umi, dry_run: True" in stack.output


@pytest.mark.system
@pytest.mark.usefixtures("waiting_policy")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nodes_end_with_launch_and_leave_nothing_behind(launched, tmp_path, eventually, number):
    stack = launched(FILE, "robot:=loopback")
    said = ("arx_x5_driver drives", "the policy waits")
    assert eventually(lambda: all(text in stack.output for text in said)), stack.output
    nodes = stack.process.children(recursive=True)
    assert len(nodes) >= 2
    stack.process.send_signal(number)
    _, alive = psutil.wait_procs(nodes, timeout=20)
    assert not alive
    stack.process.wait(20)
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.system
@pytest.mark.parametrize("robot", ["sim", "loopback"])
def test_early_interrupt_is_no_error(launched, eventually, robot):
    stack = launched(FILE, f"robot:={robot}")
    assert eventually(lambda: stack.output.count("process started with pid") == 2), stack.output
    time.sleep(0.5)  # the nodes import torch, MuJoCo or the SDK
    stack.end()
    assert "Traceback" not in stack.output
    assert stack.output.count("process has finished cleanly") == 2
