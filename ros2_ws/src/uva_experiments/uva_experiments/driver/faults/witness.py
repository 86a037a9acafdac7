# SPDX-License-Identifier: Apache-2.0
"""A node that records what the driver publishes; all times are stamps of the messages, not of their arrival."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import Point, Pose, PoseStamped
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from uva_experiments.driver.faults.commands import Command
from uva_experiments.driver.faults.scripted import ORDERS
from uva_msgs.msg import ActionChunk, DriverStatus
from uva_node_utils import topics
from uva_node_utils.time import duration_to_seconds, stamp_to_seconds

POLL_S = 0.005
_DEEP = 2000


class FaultError(RuntimeError):
    """The stack did not do what a scenario needs before or after its fault; the message says what was missing."""


class Witness:
    """Record messages with a node that is spun in a thread of its own; `listening` makes one."""

    def __init__(self, node: Node) -> None:
        """Subscribe with `node`, which the caller spins."""
        self._node = node
        self._commands: list[Command] = []
        self.statuses: list[DriverStatus] = []
        self.measured_s: list[float] = []
        self.joints = np.zeros(7)
        self._chunk_ends_s: dict[int, float] = {}
        self._clients: dict[str, Any] = {}
        self._orders = node.create_publisher(String, ORDERS, 10)
        for kind, topic, callback in (
            (JointTrajectory, topics.JOINT_COMMAND, self._on_command),
            (JointState, topics.JOINT_STATES, self._on_joints),
            (DriverStatus, topics.DRIVER_STATUS, self.statuses.append),
            (ActionChunk, topics.ACTION_CHUNK, self._on_chunk),
        ):
            node.create_subscription(kind, topic, callback, _DEEP)

    @property
    def now_s(self) -> float:
        """The present time on the ROS clock [s]."""
        return float(self._node.get_clock().now().nanoseconds * 1e-9)

    @property
    def commands(self) -> list[Command]:
        """All commands so far."""
        return self._commands.copy()

    @property
    def status(self) -> DriverStatus:
        """The newest status."""
        return self.statuses[-1] if self.statuses else DriverStatus()

    def chunk_end_s(self, sequence: int) -> float:
        """Return when the last step of the newest chunk with this number is due."""
        return self._chunk_ends_s[sequence]

    def follows_chunks(self) -> bool:
        """Return whether the chunk that the driver took last was received here, too: discovery takes time."""
        return self.status.chunk_sequence in self._chunk_ends_s

    def wait(self, condition: Callable[[], Any], timeout_s: float, what: str) -> None:
        """Wait for a condition. Raises `FaultError` that names what did not come."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                status = f"x5/status says {self.status.state}: {self.status.reason}"
                raise FaultError(f"{what} did not come within {timeout_s:g} s; {status}")
            time.sleep(POLL_S)

    def wait_for(self, state: str, since_s: float, timeout_s: float = 15.0) -> DriverStatus:
        """Wait for the first status of a state that was taken after a time, and return it."""
        found: list[DriverStatus] = []

        def come() -> bool:
            found.extend(s for s in self.statuses.copy() if s.state == state and stamp_s(s) > since_s)
            return bool(found)

        self.wait(come, timeout_s, f"'{state}' in x5/status")
        return found[0]

    def wait_for_lasting(self, state: str, duration_s: float, timeout_s: float = 15.0) -> DriverStatus:
        """Wait until a state has lasted for some time, and return its first status."""

        def run() -> list[DriverStatus]:
            return list(takewhile(lambda status: status.state == state, reversed(self.statuses.copy())))

        def lasted() -> bool:
            found = run()
            return bool(found) and stamp_s(found[0]) - stamp_s(found[-1]) >= duration_s

        self.wait(lasted, timeout_s, f"'{state}' for {duration_s:g} s in x5/status")
        return run()[-1]

    def order(self, text: str, listeners: int = 1) -> None:
        """Publish an order to the scripted policy and other listeners."""
        self.wait(lambda: self._orders.get_subscription_count() >= listeners, 15.0, "a subscriber of orders")
        self._orders.publish(String(data=text))

    def take_away(self, block: str) -> float:
        """Put a block of the simulation where the camera does not see it; return the time."""
        publisher = self._node.create_publisher(PoseStamped, f"sim/move_{block}", 1)
        self.wait(publisher.get_subscription_count, 15.0, "the simulation")
        taken_s = self.now_s
        pose = Pose(position=Point(x=0.3, y=0.6))
        publisher.publish(PoseStamped(header=Header(frame_id="base_link"), pose=pose))
        return taken_s

    def call(self, name: str) -> None:
        """Call a trigger service. Raises `FaultError` if it is refused."""
        answer = self._call(Trigger, name, Trigger.Request())
        if not answer.success:
            raise FaultError(f"{name} was refused: {answer.message}")

    def change_state(self, node: str, transition: int) -> None:
        """Make a lifecycle node change its state."""
        request = ChangeState.Request()
        request.transition.id = transition
        if not self._call(ChangeState, f"{node}/change_state", request).success:
            raise FaultError(f"{node} did not change its state")

    def _call(self, kind: type, name: str, request: Any) -> Any:
        if name not in self._clients:
            self._clients[name] = self._node.create_client(kind, name)
        client = self._clients[name]
        self.wait(client.service_is_ready, 15.0, f"service {name}")
        future = client.call_async(request)
        self.wait(future.done, 15.0, f"an answer of {name}")
        return future.result()

    def _on_command(self, message: JointTrajectory) -> None:
        point = message.points[0]
        stamp_s = stamp_to_seconds(message.header.stamp)
        self._commands.append(
            Command(stamp_s, *map(np.array, (point.positions, point.velocities, point.accelerations)))
        )

    def _on_joints(self, message: JointState) -> None:
        self.measured_s.append(stamp_to_seconds(message.header.stamp))
        self.joints = np.array(message.position)

    def _on_chunk(self, message: ActionChunk) -> None:
        if all(math.isfinite(pose.position.y) for pose in message.poses):
            end_s = stamp_to_seconds(message.header.stamp) + duration_to_seconds(message.time_from_start[-1])
            self._chunk_ends_s[message.sequence] = end_s


def stamp_s(status: DriverStatus) -> float:
    """Return when a status was taken, on the ROS clock [s]."""
    return float(stamp_to_seconds(status.header.stamp))


@contextmanager
def listening() -> Iterator[Witness]:
    """Make a witness, and spin its node for as long as the context lasts."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node("fault_witness")
    witness = Witness(node)
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, name="witness", daemon=True)
    thread.start()
    try:
        yield witness
    finally:
        executor.shutdown()
        thread.join()
        node.destroy_node()
        rclpy.try_shutdown()
