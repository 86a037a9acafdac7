# SPDX-License-Identifier: Apache-2.0
"""The whole stack as its users run it: real processes over real DDS, with the weights that ship."""

from __future__ import annotations

import os
import re
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
from std_srvs.srv import Trigger

from uva_core import checkpoint as checkpoints
from uva_core.policy import UvaPolicy
from uva_msgs.msg import ActionChunk, DriverStatus
from uva_node_utils.time import duration_to_seconds, stamp_to_seconds

pytestmark = pytest.mark.system

SHIPPED = Path(__file__).parents[1] / "models" / "uva_tiny.safetensors"
START_S = 60.0  # a loaded machine takes its time to import torch


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
        self.publisher = self.node.create_publisher(ActionChunk, "uva/action_chunk", 10)

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
        (victim,) = [p for p in self.processes() if Path(p.cmdline()[1]).name == executable]
        victim.send_signal(signal.SIGKILL)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    stacks: list[Stack] = []

    def start_stack(*options: str) -> Stack:
        # A domain for each run, so that a run never hears what is left of another.
        stacks.append(Stack(tmp_path, 1 + (os.getpid() + 17 * len(stacks) + time.time_ns()) % 100, *options))
        return stacks[-1]

    yield start_stack
    for stack in stacks:
        stack.stop()


def moving(stack: Stack) -> bool:
    return stack.state == DriverStatus.STATE_ACTIVE and stack.statuses[-1][1].steps_executed > 3


def test_pixels_become_motion_and_the_arm_holds_when_the_policy_is_killed(start):
    stack = start("robot:=sim", "mask_mode:=policy", "seed:=20000")
    stack.wait(lambda: moving(stack), START_S)

    spoilt = stack.chunks[-1]
    spoilt.sequence += 1_000_000
    spoilt.poses[3].position.x = float("nan")
    before = stack.statuses[-1][1].chunks_rejected
    stack.publisher.publish(spoilt)
    stack.wait(lambda: stack.statuses[-1][1].chunks_rejected > before, 5.0)
    last = stack.statuses[-1][1]
    assert dict(zip(last.limit_names, last.limit_counts, strict=True))["not_finite"] >= 1
    del stack.chunks[:]
    stack.wait(lambda: len(stack.chunks) >= 2, 10.0)

    stack.kill("policy")
    killed_s = time.time()
    stack.wait(lambda: stack.state == DriverStatus.STATE_HOLDING and stack.statuses[-1][0] > killed_s + 0.1, 5.0)
    chunk = stack.chunks[-1]
    last_step_s = stamp_to_seconds(chunk.header.stamp) + duration_to_seconds(chunk.time_from_start[-1])
    held_s, status = next((t, m) for t, m in stack.statuses if t > killed_s and m.state == DriverStatus.STATE_HOLDING)
    assert held_s <= last_step_s + 0.3 + 0.1  # 20 Hz status, and this process has to get round to it
    assert "no valid chunk followed" in status.reason

    stack.wait(lambda: stack.process.poll() is not None, 15.0)
    assert stack.process.returncode == 1
    assert re.search(r"uva_policy_node was killed by SIGKILL|uva_policy_node .*SIGKILL", stack.log.read_text())


def test_killing_the_driver_ends_the_run_with_a_message_and_leaves_nothing_behind(start):
    stack = start("robot:=sim", "mask_mode:=policy", "seed:=20001")
    stack.wait(lambda: stack.state == DriverStatus.STATE_ACTIVE, START_S)
    children = stack.processes()
    assert len(children) >= 2
    stack.kill("sim")
    stack.wait(lambda: stack.process.poll() is not None, 15.0)
    assert stack.process.returncode == 1
    assert re.search(r"sim .*SIGKILL", stack.log.read_text())
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_stop_latches_while_chunks_keep_coming(start):
    stack = start("robot:=sim", "mask_mode:=policy", "seed:=20002")
    stack.wait(lambda: stack.state == DriverStatus.STATE_ACTIVE, START_S)
    client = stack.node.create_client(Trigger, "x5/stop")
    stack.wait(client.service_is_ready, 10.0)
    future = client.call_async(Trigger.Request())
    stack.wait(future.done, 10.0)
    assert future.result().success
    executed = stack.statuses[-1][1].steps_executed
    seen = len(stack.chunks)
    stack.wait(lambda: len(stack.chunks) >= seen + 3, 15.0)
    stack.wait(lambda: stack.state == DriverStatus.STATE_STOPPED, 5.0)
    assert stack.statuses[-1][1].steps_executed <= executed + 1


@pytest.fixture(scope="module")
def other_shapes(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "other_shapes.safetensors"
    tensors, config = checkpoints.load(SHIPPED)
    tensors["model.fuse.bias"] = torch.zeros(3)
    checkpoints.save(path, tensors, config)
    return path


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("mask_mode:=dream", "mask_mode"),
        ("model:=/nowhere/uva.safetensors", "no checkpoint at /nowhere/uva.safetensors"),
        ("model:={other_shapes}", "model.fuse.bias (3,) instead of"),
    ],
)
def test_wrong_input_ends_in_one_clear_line(start, other_shapes, option, text):
    stack = start("robot:=sim", option.format(other_shapes=other_shapes))
    stack.wait(lambda: stack.process.poll() is not None, START_S)
    log = stack.log.read_text()
    assert stack.process.returncode != 0
    assert text in log
    assert "Traceback" not in log


def test_the_shipped_weights_load_and_are_small():
    assert SHIPPED.stat().st_size < 10_000_000
    policy = UvaPolicy.load(SHIPPED)
    assert {"policy", "video"} <= set(policy.config.trained_modes)
