# SPDX-License-Identifier: Apache-2.0
"""A driver and a client over ROS, with a loopback arm."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("arx5_interface")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Pose, PoseStamped
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from arx_x5_driver.arm import Arm
from arx_x5_driver.arms import LoopbackArm
from arx_x5_driver.node import ArxX5Driver
from uva_msgs.msg import ActionChunk, DriverStatus
from uva_node_utils.time import seconds_to_duration, seconds_to_stamp

START = np.array([0.0, 1.2, 1.3, 0.6, 0.0, 0.0])


class Rig:
    """A driver and a client in one private context. `newest` holds the last message of each type."""

    def __init__(self, context: Context, driven: Arm | None = None, threads: int = 1, **parameters: Any) -> None:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.options: dict[str, Any] = {"context": context, "namespace": f"driver_test_{os.getpid()}"}
        # Threads take time away from the control loop, as all share one Python here.
        threaded = MultiThreadedExecutor(threads, context=context) if threads > 1 else None
        self.executor = threaded or SingleThreadedExecutor(context=context)
        self.client = Node("client", **self.options)
        self.newest: dict[type, Any] = {}
        for kind, topic in (
            (JointState, "x5/joint_states"),
            (PoseStamped, "x5/eef_pose"),
            (JointTrajectory, "x5/joint_command"),
            (DriverStatus, "x5/status"),
            (DiagnosticArray, "/diagnostics"),
        ):
            self.client.create_subscription(kind, topic, lambda m, k=kind: self.newest.update({k: m}), 10)
        self.chunks = self.client.create_publisher(ActionChunk, "uva/action_chunk", 1)
        self.services = {n: self.client.create_client(Trigger, f"x5/{n}") for n in ("enable", "stop", "home")}
        driven = None if "arm" in parameters else driven or LoopbackArm(START, gripper_width=0.04)
        clock = ["--ros-args", "-r", "/clock:=clock"]  # of this rig alone
        self.driver = ArxX5Driver(driven, parameter_overrides=overrides, cli_args=clock, **self.options)
        self.nodes = [self.client, self.driver]
        for node in self.nodes:
            self.executor.add_node(node)

    def add_node(self, name: str) -> Node:
        """Return a further node."""
        node = Node(name, **self.options)
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def wait(self, condition: Callable[[], Any], timeout_s: float = 10.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, f"timeout; the last status was {self.newest.get(DriverStatus)}"
            self.executor.spin_once(timeout_sec=0.05)

    def spin(self, duration_s: float) -> None:
        """Let time pass."""
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            self.executor.spin_once(timeout_sec=0.05)

    def status(self) -> DriverStatus:
        """Return a status that was taken after now."""
        now_s = self.client.get_clock().now().nanoseconds * 1e-9
        self.wait(lambda: self.status_stamp_s() > now_s)
        return self.newest[DriverStatus]

    def status_stamp_s(self) -> float:
        message = self.newest.get(DriverStatus)
        return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9 if message else 0.0

    def rejections(self) -> dict[str, int]:
        """Return the rules that acted until the last status, with their counts."""
        status = self.newest[DriverStatus]
        counts = dict(zip(status.limit_names, status.limit_counts, strict=True))
        return {name: count for name, count in counts.items() if count}

    def wait_for_state(self, state: str) -> None:
        self.wait(lambda: self.newest.get(DriverStatus) and self.newest[DriverStatus].state == state)

    def wait_for_rejections(self, count: int) -> DriverStatus:
        self.wait(lambda: self.newest[DriverStatus].chunks_rejected >= count)
        return self.newest[DriverStatus]

    def warning(self) -> str:
        """Return the message of the last diagnostics, empty before the first."""
        return self.newest[DiagnosticArray].status[0].message if DiagnosticArray in self.newest else ""

    def call(self, name: str) -> Trigger.Response:
        self.services[name].wait_for_service(5.0)
        future = self.services[name].call_async(Trigger.Request())
        self.wait(future.done)
        return future.result()

    def chunk(self, sequence: int) -> ActionChunk:
        """Return sixteen steps that end 4 cm beside the arm."""
        self.wait(lambda: PoseStamped in self.newest)
        start = self.newest[PoseStamped].pose
        chunk = ActionChunk(sequence=sequence, gripper_width=[0.05] * 16)
        chunk.header.frame_id = "base_link"
        chunk.header.stamp = seconds_to_stamp(self.client.get_clock().now().nanoseconds * 1e-9)
        for step in range(16):
            chunk.time_from_start.append(seconds_to_duration(0.1 * (step + 1)))
            pose = Pose(orientation=start.orientation)
            pose.position.x, pose.position.z = start.position.x, start.position.z
            pose.position.y = start.position.y + 0.04 * (step + 1) / 16
            chunk.poses.append(pose)
        return chunk

    def send(self, chunk: ActionChunk | bytes, publisher: Publisher | None = None) -> None:
        """Publish a chunk once the driver listens."""
        publisher = publisher or self.chunks
        self.wait(publisher.get_subscription_count)
        publisher.publish(chunk)

    def send_chunk(self, sequence: int, spoil: Callable[[ActionChunk], None] = lambda _: None) -> None:
        chunk = self.chunk(sequence)
        spoil(chunk)
        self.send(chunk)

    def close(self) -> None:
        self.executor.shutdown()
        self.driver.wind_down()
        for node in self.nodes:
            node.destroy_node()


@pytest.fixture
def context() -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context, args=["--ros-args", "--log-level", "warn"])
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture
def start(context: Context) -> Iterator[Callable[..., Rig]]:
    """`start(driven=None, threads=1, parameter=value, ...)`: a driver and its client."""
    rigs: list[Rig] = []

    def start_rig(*arguments: Any, **options: Any) -> Rig:
        rigs.append(Rig(context, *arguments, **options))
        return rigs[-1]

    yield start_rig
    for rig in rigs:
        rig.close()


@pytest.fixture
def rig(start: Callable[..., Rig]) -> Rig:
    return start()
