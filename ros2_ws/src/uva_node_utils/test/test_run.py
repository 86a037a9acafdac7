# SPDX-License-Identifier: Apache-2.0
"""`run` as a process: signals, exit codes and what the user gets to read."""

import importlib.util
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

NEEDS_EVENTS = pytest.mark.skipif(
    importlib.util.find_spec("rclpy.experimental") is None, reason="ROS 2 Jazzy has no EventsExecutor"
)

PROGRAM = """
import sys
import time
from dataclasses import dataclass
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from uva_node_utils.lifecycle import AutostartLifecycleNode, StartupError, run
from uva_node_utils.parameters import declare, param

@dataclass(frozen=True)
class Parameters:
    mode: str = param("fine", "What goes wrong.", choices=("fine", "startup", "bug", "callback", "slow"))

class Sample(AutostartLifecycleNode):
    def __init__(self, name="sample"):
        super().__init__(name)
        self.parameters = declare(self, Parameters)
        self.running = 0

    def on_configure(self, state):
        if self.parameters.mode == "startup":
            raise StartupError("no checkpoint at nowhere.safetensors")
        if self.parameters.mode == "bug":
            raise KeyError("bug")
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state):
        print("active", flush=True)
        if self.parameters.mode == "callback":
            self.create_timer(0.01, lambda: 1 / 0)
        if self.parameters.mode == "slow":
            self.create_timer(0.01, self.slow)
        return super().on_activate(state)

    def slow(self):
        self.running += 1
        time.sleep(0.2)
        self.running -= 1

    def on_deactivate(self, state):
        print("deactivated" + self.running * " during a callback", flush=True)
        return super().on_deactivate(state)

    def on_cleanup(self, state):
        print("cleaned up", flush=True)
        return super().on_cleanup(state)

executor = MultiThreadedExecutor if "--threads" in sys.argv else SingleThreadedExecutor
if "--events" in sys.argv:
    from rclpy.experimental import EventsExecutor as executor
factory = (lambda: (Sample("one"), Sample("two"))) if "--two" in sys.argv else Sample
run(factory, executor_factory=executor)
"""


@pytest.fixture
def start(tmp_path: Path):
    processes = []

    def start(*args: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen:
        path = tmp_path / "program.py"
        path.write_text(PROGRAM)
        process = subprocess.Popen(
            [*launcher, sys.executable, str(path), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def read_until_active(process: subprocess.Popen, count: int = 1) -> None:
    for _ in range(count):
        assert process.stdout.readline() == "active\n"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("arg", ["", "--threads", pytest.param("--events", marks=NEEDS_EVENTS)])
def test_a_signal_winds_the_node_down(start, signum, arg):
    process = start(*([arg] if arg else []))
    read_until_active(process)
    process.send_signal(signum)
    process.send_signal(signum)
    out, err = process.communicate(timeout=10)
    assert out == "deactivated\ncleaned up\n"
    assert err == ""
    assert process.returncode == 0


def test_the_end_of_its_launcher_winds_the_node_down_if_the_environment_says_so(start, monkeypatch):
    monkeypatch.setenv("UVA_DIE_WITH_PARENT", "1")
    launcher = "import subprocess, sys; subprocess.call(sys.argv[1:])"
    process = start(launcher=(sys.executable, "-c", launcher))
    read_until_active(process)
    process.kill()
    out, err = process.communicate(timeout=10)
    assert out == "deactivated\ncleaned up\n"
    assert err == ""


def test_threads_have_come_to_rest_when_the_node_is_wound_down(start):
    process = start("--threads", "--ros-args", "-p", "mode:=slow")
    read_until_active(process)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert out == "deactivated\ncleaned up\n"
    assert err == ""
    assert process.returncode == 0


def test_several_nodes_run_in_one_process(start):
    process = start("--two")
    read_until_active(process, 2)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=10)
    assert out == "deactivated\ncleaned up\n" * 2
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["-p", "mode:=startup"], "no checkpoint at nowhere.safetensors"),
        (
            ["-p", "mode:=wrong"],
            "parameter 'mode' of sample must be one of fine, startup, bug, callback, slow, got 'wrong'",
        ),
        (["-p", "moda:=fine"], "sample has no parameter 'moda'"),
    ],
)
@pytest.mark.parametrize("arg", ["", "--threads"])
def test_wrong_input_ends_in_one_line(start, args, line, arg):
    process = start(*([arg] if arg else []), "--ros-args", *args)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert line in err
    assert err.count("\n") == 1
    assert out == ""


def test_a_parameter_file_that_cannot_be_read_is_named(start):
    process = start("--ros-args", "--params-file", "/nowhere.yaml")
    _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    # rcl has logged a line of its own before.
    assert err.splitlines()[-1].startswith("cannot start ROS 2")
    assert "/nowhere.yaml" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("mode", "line"), [("bug", "KeyError: 'bug'"), ("callback", "ZeroDivisionError")])
def test_a_bug_ends_the_process_with_a_traceback(start, mode, line):
    process = start("--ros-args", "-p", f"mode:={mode}")
    started = time.monotonic()
    _, err = process.communicate(timeout=10)
    assert time.monotonic() - started < 10
    assert process.returncode == 1
    assert "Traceback" in err
    assert line in err
