# SPDX-License-Identifier: Apache-2.0
"""What scripts/setup.sh installs, and what runs in the shell of scripts/env.sh: it leaves nothing outside the clone."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SET_BY_ENV = ("COLCON_HOME", "MESA_SHADER_CACHE_DIR", "MPLCONFIGDIR", "PIP_CACHE_DIR", "ROS_LOG_DIR")

# Whatever writes to the home directory of its own accord: ROS logs and the shaders of OpenGL.
PROGRAM = """
import rclpy
from arx_x5_sim.world.camera import Camera
from arx_x5_sim.world.scene import build_model
from arx_x5_sim.world.world import World

model = build_model()
camera = Camera(model)
camera.render(World(model))
camera.close()
rclpy.init()
rclpy.create_node("writer").get_logger().info("logged")
rclpy.shutdown()
"""


@pytest.mark.system
@pytest.mark.skipif(not (ROOT / ".venv").exists(), reason="the user's ROS 2 keeps its places")
def test_the_home_directory_stays_empty(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in SET_BY_ENV}
    home = tmp_path / "home"
    home.mkdir()
    logs = ROOT / ".cache" / "ros_log"
    before = set(logs.glob("*"))
    subprocess.run(
        ["bash", "-euc", f"source {ROOT}/scripts/env.sh; python -c '{PROGRAM}'"],
        env=environment | {"HOME": str(home), "UVA_USE_WHEELS": "1"},
        check=True,
    )
    assert list(home.rglob("*")) == []
    assert set(logs.glob("*")) > before


CPU_BUILDS = "https://download.pytorch.org/whl/cpu"


@pytest.mark.parametrize(
    ("nvidia_smi", "chosen", "index"),
    [
        ("echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)'", None, ""),
        ("echo 'NVIDIA-SMI has failed because it could not communicate with the driver'; exit 9", None, CPU_BUILDS),
        ("echo 'No devices found'", None, CPU_BUILDS),
        ("exit 127", None, CPU_BUILDS),
        ("echo 'GPU 0: NVIDIA H100'", CPU_BUILDS, CPU_BUILDS),
        ("exit 127", "", ""),
    ],
)
def test_torch_is_the_cuda_build_where_a_driver_answers_unless_chosen(tmp_path, nvidia_smi, chosen, index):
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{nvidia_smi}\n")
    command.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    if chosen is not None:
        environment["UVA_TORCH_INDEX"] = chosen
    script = ["bash", "-c", f"source {ROOT}/scripts/setup.sh && torch_index"]
    told = subprocess.run(script, env=environment, check=True, capture_output=True, text=True)
    assert told.stdout.strip() == index
