# SPDX-License-Identifier: Apache-2.0
"""The executable as a process: signals, exit codes and what the user gets to read."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.system


@pytest.fixture
def start():
    processes = []

    def start(*args, python_options=(), **environment):
        process = subprocess.Popen(
            [sys.executable, *python_options, "-c", "from arx_x5_sim.main import main; main()", "--ros-args", *args],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_soon(start, signum):
    process = start()
    for line in process.stdout:
        if "stopped: not enabled yet" in line:
            break
    begin_s = time.monotonic()
    process.send_signal(signum)
    rest, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in rest
    assert time.monotonic() - begin_s < 5.0, "0.5 s where nothing else runs"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_is_still_importing_leaves_no_traceback(start, signum):
    process = start(python_options=["-X", "importtime"])
    for line in process.stdout:
        if "numpy" in line:
            break
    process.send_signal(signum)
    rest, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in rest


@pytest.mark.parametrize(
    ("args", "environment", "line"),
    [
        ([], {"MUJOCO_GL": "disable"}, "cannot open an OpenGL context for rendering"),
        (["-p", "sim_camera:image_width:=5000"], {}, "must be between 16 and 640, got 5000"),
        (["-p", "arx_x5_driver:rate:=100.0"], {}, "arx_x5_driver has no parameter 'rate'"),
    ],
)
def test_wrong_input_is_told_in_one_line(start, args, environment, line):
    process = start(*args, **environment)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Traceback" not in output
    (told,) = [told for told in output.splitlines() if "FATAL" in told]
    assert line in told
