# SPDX-License-Identifier: Apache-2.0
"""The command line `python -m uva_bringup.run`, as a process, on dummy nodes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from uva_bringup import run
from uva_bringup.options import StackOptions

pytestmark = pytest.mark.system

NODE = f"""#!{sys.executable}
import os, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit("stopped properly"))
print("ready", *sys.argv[1:], "dies with parent:", os.environ.get("UVA_DIE_WITH_PARENT"), flush=True)
time.sleep(60)
"""


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """An install prefix in which the stack's executables are dummies, in front of the real ones."""
    packages = tmp_path / "share/ament_index/resource_index/packages"
    packages.mkdir(parents=True)
    for package, executable in (("arx_x5_sim", "sim"), ("uva_policy_node", "policy")):
        (packages / package).touch()
        path = tmp_path / "lib" / package / executable
        path.parent.mkdir(parents=True)
        path.write_text(NODE)
        path.chmod(0o755)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path}:{os.environ.get('AMENT_PREFIX_PATH', '')}")
    return tmp_path


class RunningStack:
    """`uva_bringup.run` with both dummies started."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        command = [sys.executable, "-m", "uva_bringup.run", "robot:=sim", "namespace:=left"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.first_lines = [self.process.stdout.readline(), self.process.stdout.readline()]

    def nodes(self) -> dict[str, int]:
        """Process ids of the dummies by executable name."""
        found = {}
        for process in psutil.process_iter(["cmdline"]):
            for word in (process.info["cmdline"] or [])[:3]:
                if word.startswith(f"{self.prefix}/lib"):
                    found[Path(word).name] = process.pid
        return found

    def finish(self) -> str:
        return self.process.communicate(timeout=20)[0]


@pytest.fixture
def running(prefix):
    stack = RunningStack(prefix)
    yield stack
    stack.process.kill()
    stack.process.communicate()


def test_output_has_the_nodes_name_in_front(running):
    assert sorted(line[: line.index("ready")] for line in running.first_lines) == [
        "[sim]             ",
        "[uva_policy_node] ",
    ]
    assert all("dies with parent: 1" in line for line in running.first_lines)
    assert all("__ns:=/left" in line and "--params-file" in line for line in running.first_lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_all_properly(running, number):
    running.process.send_signal(number)
    output = running.finish()
    assert output.count("stopped properly") == 2
    assert f"{signal.Signals(number).name} received, ending all nodes" in output
    assert running.process.returncode == 0
    assert running.nodes() == {}


def test_policy_death_lets_the_driver_go_on_for_a_while(running):
    os.kill(running.nodes()["policy"], signal.SIGKILL)
    time.sleep(1.5)
    assert list(running.nodes()) == ["sim"]
    output = running.finish()
    assert "uva_policy_node was killed by SIGKILL; the others end in" in output
    assert output.splitlines()[-1] == "[uva_bringup] the stack has ended because uva_policy_node was killed by SIGKILL"
    assert running.process.returncode == 1
    assert running.nodes() == {}


def test_driver_death_ends_all_at_once(running):
    os.kill(running.nodes()["sim"], signal.SIGKILL)
    output = running.finish()
    assert output.splitlines()[-1] == "[uva_bringup] the stack has ended because sim was killed by SIGKILL"
    assert running.process.returncode == 1
    assert running.nodes() == {}


def test_nothing_is_left_when_run_itself_is_killed(running, eventually):
    assert len(running.nodes()) == 2
    running.process.kill()
    assert eventually(lambda: running.nodes() == {})


def test_closed_output_ends_nothing_and_is_told_once(prefix, tmp_path, eventually):
    command = [sys.executable, "-m", "uva_bringup.run", "robot:=sim"]
    with (tmp_path / "errors").open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
    process.stdout.readline()
    process.stdout.close()
    assert eventually(lambda: "lost" in (tmp_path / "errors").read_text())
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    told = (tmp_path / "errors").read_text().splitlines()
    assert len(told) == 2, told
    assert "Broken pipe" in told[0]
    assert "SIGINT received" in told[1]


def test_help_lists_every_option(capsys):
    with pytest.raises(SystemExit, match="0"):
        run.main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"  {name}:=" in shown for name in StackOptions.__dataclass_fields__)
    assert run.main(["--show-args"]) == 0


def test_missing_model_is_told_before_anything_starts(prefix, capfd):
    assert run.main(["robot:=x5", "model:=nowhere.safetensors"]) == 2
    assert capfd.readouterr() == ("", "[uva_bringup] model:=nowhere.safetensors: no such file\n")


def test_wrong_option_is_one_line_and_exit_code_2(capsys):
    assert run.main(["robot:=spot"]) == 2
    assert capsys.readouterr().err == "[uva_bringup] robot:=spot is not one of: sim, x5, loopback\n"
