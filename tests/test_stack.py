# SPDX-License-Identifier: Apache-2.0
"""The whole stack as its users run it: real processes over real DDS, with the weights that ship."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import rclpy
import torch
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from uva_bringup.command import find_executable
from uva_bringup.demo.domain import free_domain_id
from uva_core.checkpoint import safetensors_file as checkpoints
from uva_core.policy.policy import UvaPolicy
from uva_msgs.msg import ActionChunk, DriverStatus
from uva_node_utils.time import duration_to_seconds, stamp_to_seconds

pytestmark = pytest.mark.system

SHIPPED = Path(__file__).parents[1] / "models" / "uva_tiny.safetensors"
START_S = 120.0  # a loaded machine takes its time to import torch


class Stack:
    """`python -m uva_bringup.run` and what can be seen of it from outside."""

    def __init__(self, folder: Path, domain: int, *options: str) -> None:
        self.log = folder / "run.log"
        environment = os.environ | {"ROS_DOMAIN_ID": str(domain), "PYTHONUNBUFFERED": "1"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "uva_bringup.run", *options], stdout=log, stderr=log, env=environment
            )
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node("watcher", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.chunks: list[ActionChunk] = []
        self.statuses: list[tuple[float, DriverStatus]] = []
        self.node.create_subscription(ActionChunk, "uva/action_chunk", self.chunks.append, 10)
        self.node.create_subscription(DriverStatus, "x5/status", lambda m: self.statuses.append((time.time(), m)), 50)
        self.image_times_s: list[float] = []
        self.node.create_subscription(Image, "camera/image_raw", self.on_image, qos_profile_sensor_data)
        self.publisher = self.node.create_publisher(ActionChunk, "uva/action_chunk", 10)

    def on_image(self, image: Image) -> None:
        self.image_times_s.append(time.monotonic())

    def image_rate_hz(self, window_s: float) -> float:
        """Of the images received within the last time."""
        return sum(t > time.monotonic() - window_s for t in self.image_times_s) / window_s

    def call(self, service: str) -> None:
        client = self.node.create_client(Trigger, service)
        self.wait(client.service_is_ready, 10.0)
        future = client.call_async(Trigger.Request())
        self.wait(future.done, 10.0)
        assert future.result().success, future.result().message

    def wait(self, condition: Callable[[], Any], timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, f"timeout after {timeout_s} s:\n{self.log.read_text()[-3000:]}"
            self.executor.spin_once(timeout_sec=0.05)

    @property
    def state(self) -> str:
        return self.statuses[-1][1].state if self.statuses else ""

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self, executable: str) -> None:
        (victim,) = [p for p in self.processes() if executable in (Path(word).name for word in command_line(p)[:2])]
        victim.send_signal(signal.SIGKILL)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


def command_line(process: psutil.Process) -> list[str]:
    """Return the words of a process's command, none if it is gone or going."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    stacks: list[Stack] = []

    def start_stack(*options: str) -> Stack:
        # A domain for each run, so that a run never hears what is left of another.
        stacks.append(Stack(tmp_path, free_domain_id(), *options))
        return stacks[-1]

    yield start_stack
    for stack in stacks:
        stack.stop()


def moving(stack: Stack) -> bool:
    return stack.state == DriverStatus.STATE_ACTIVE and stack.statuses[-1][1].steps_executed > 3


def test_pixels_become_motion_stop_latches_and_the_arm_holds_when_the_policy_is_killed(start):
    stack = start("robot:=sim", "mask_mode:=policy", "seed:=20000")
    stack.wait(lambda: moving(stack), START_S)
    stack.wait(lambda: stack.image_rate_hz(3.0) >= 18.0, 30.0)

    stack.wait(lambda: stack.chunks, 15.0)  # this process may find the policy's topic later than the driver does
    second = stack.chunks[-1]
    second.sequence += 1_000_000
    before = stack.statuses[-1][1].chunks_rejected
    stack.publisher.publish(second)
    stack.wait(lambda: stack.statuses[-1][1].chunks_rejected > before, 5.0)
    last = stack.statuses[-1][1]
    assert dict(zip(last.limit_names, last.limit_counts, strict=True))["source"] >= 1

    stack.call("x5/stop")
    stack.wait(lambda: stack.state == DriverStatus.STATE_STOPPED, 5.0)
    executed, seen = stack.statuses[-1][1].steps_executed, len(stack.chunks)
    stack.wait(lambda: len(stack.chunks) >= seen + 3, 15.0)
    told = len(stack.statuses)
    stack.wait(lambda: len(stack.statuses) >= told + 3, 5.0)
    assert stack.state == DriverStatus.STATE_STOPPED
    assert stack.statuses[-1][1].steps_executed == executed

    stack.call("x5/enable")
    stack.wait(lambda: stack.state == DriverStatus.STATE_ACTIVE, 15.0)
    stack.kill("policy")
    killed_s = time.time()

    def held() -> list[DriverStatus]:
        return [
            status
            for _, status in stack.statuses
            if stamp_to_seconds(status.header.stamp) > killed_s and "no valid chunk followed" in status.reason
        ]

    stack.wait(held, 10.0)
    first = held()[0]
    assert first.state == DriverStatus.STATE_HOLDING
    last_step_s = max(
        stamp_to_seconds(chunk.header.stamp) + duration_to_seconds(chunk.time_from_start[-1]) for chunk in stack.chunks
    )
    # By the driver's own stamps, which do not depend on when this process gets round to them; they come at 20 Hz.
    assert stamp_to_seconds(first.header.stamp) <= last_step_s + 0.3 + 0.1

    stack.wait(lambda: stack.process.poll() is not None, 20.0)
    assert stack.process.returncode == 1
    assert "uva_policy_node was killed by SIGKILL" in stack.log.read_text()


def test_silent_camera_is_named_and_killing_the_driver_leaves_nothing_behind(start):
    stack = start("robot:=loopback", "mask_mode:=policy")
    stack.wait(lambda: "nothing on /camera/image_raw" in stack.log.read_text(), START_S)
    stack.wait(lambda: stack.state == DriverStatus.STATE_STOPPED, 10.0)  # nobody has enabled it
    assert stack.chunks == []
    children = stack.processes()
    assert len(children) >= 2
    stack.kill("driver")
    stack.wait(lambda: stack.process.poll() is not None, 20.0)
    assert stack.process.returncode == 1
    assert "arx_x5_driver was killed by SIGKILL" in stack.log.read_text()
    assert "/arx_x5_driver drives loopback X5_umi, dry_run: False" in stack.log.read_text()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_checkpoint_of_another_shape_ends_in_one_clear_line(tmp_path):
    path = tmp_path / "other_shapes.safetensors"
    tensors, config = checkpoints.load(SHIPPED)
    tensors["model.fuse.bias"] = torch.zeros(3)
    checkpoints.save(path, tensors, config)
    # Of the policy alone, which needs no simulator to say so.
    policy = str(find_executable("uva_policy_node", "policy"))
    command = [policy, "--ros-args", "-p", f"model:={path}"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=START_S)
    assert ended.returncode == 1
    assert sum("model.fuse.bias (3,) instead of" in line for line in ended.stdout.splitlines()) == 1, ended.stdout
    assert "Traceback" not in ended.stdout


def test_wrong_mode_ends_in_one_clear_line():
    command = [sys.executable, "-m", "uva_bringup.run", "robot:=sim", "mask_mode:=dream"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=START_S)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("[uva_bringup] mask_mode:=dream is not one of: policy, video, ")


def test_the_shipped_weights_load_and_are_small():
    assert SHIPPED.stat().st_size < 10_000_000
    policy = UvaPolicy.load(SHIPPED)
    assert {"policy", "video"} <= set(policy.config.trained_modes)
