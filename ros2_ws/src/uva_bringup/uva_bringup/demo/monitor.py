# SPDX-License-Identifier: Apache-2.0
"""The demo's node: it listens to the running stack, records it and calls its services."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from uva_bringup.demo.errors import DemoError
from uva_bringup.supervisor import Death, Supervisor
from uva_msgs.msg import DriverStatus, WorldState
from uva_msgs.srv import ResetWorld
from uva_node_utils import topics
from uva_replay.recorder import Recorder

POLL_S = 0.02
SERVICE_TIMEOUT_S = 10.0
ENABLE_TIMEOUT_S = 2.0
MOST_SILENCE_S = 5.0


class Monitor:
    """Listen to the stack and record it, in a thread of its own; as a context manager.

    `wait_until` and everything built on it raise DemoError as soon as the stack is not healthy.
    """

    def __init__(self, supervisor: Supervisor, bag: Path) -> None:
        """Prepare.

        Args:
            supervisor: The stack's processes, running.
            bag: Folder to record all topics to.
        """
        self._supervisor = supervisor
        self._bag = bag
        self._failure: BaseException | None = None
        self.world = WorldState()
        self.status = DriverStatus()
        self._enabled = False

    def __enter__(self) -> Monitor:
        """Join the ROS graph and start recording."""
        # Ctrl-C is for the demo to handle: the node has to hear the stack until the end.
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("uva_demo")
        self._node.create_subscription(WorldState, topics.WORLD_STATE, self._on_world, 10)
        self._node.create_subscription(DriverStatus, topics.DRIVER_STATUS, self._on_status, 10)
        self._triggers = {name: self._node.create_client(Trigger, name) for name in (topics.ENABLE, topics.STOP)}
        self._reset = self._node.create_client(ResetWorld, topics.RESET)
        self._recorder = Recorder(self._node, self._bag)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="monitor", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Finish the bag and leave the graph."""
        self._executor.shutdown()
        self._thread.join()
        self._recorder.close()
        self._node.destroy_node()
        rclpy.try_shutdown()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass
        except Exception as error:  # the thread's edge: the main thread reports it
            self._failure = error

    def _on_world(self, message: WorldState) -> None:
        self.world = message

    def _on_status(self, message: DriverStatus) -> None:
        self.status = message

    def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for a condition; return whether it came true in time."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.check()
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
        return True

    def pause(self, duration_s: float) -> None:
        """Wait for a while."""
        self.wait_until(lambda: False, duration_s)

    def check(self) -> None:
        """Raise DemoError if a process died, the arm is in fault although it was enabled, or recording failed."""
        death = self._supervisor.due_death()
        if death is not None:
            raise DemoError(f"{death}{last_words(death)}{self._arm_state() if death.lingered else ''}")
        if self._enabled and self.status.state == DriverStatus.STATE_FAULT:
            raise DemoError(f"the driver is in fault: {self.status.reason}")
        if self._failure is not None:
            raise DemoError(f"recording failed: {self._failure}")

    def check_flow(self) -> None:
        """Raise DemoError if a topic that must not pause has been silent too long, naming the first."""
        self.check()
        for topic in topics.FLOW:
            silence_s = self._recorder.silence_s(topic)
            if silence_s > MOST_SILENCE_S:
                raise DemoError(f"{topic} has been silent for {silence_s:.0f} s")

    def wait_for_flow(self, timeout_s: float) -> None:
        """Wait for a first message on every topic of the data flow, or raise DemoError naming the first silent."""
        self.wait_until(lambda: not self._never_heard(), timeout_s)
        silent = self._never_heard()
        if silent:
            raise DemoError(f"no message on {silent[0]} within {timeout_s:.0f} s")

    def _never_heard(self) -> list[str]:
        return [topic for topic in topics.FLOW if math.isinf(self._recorder.silence_s(topic))]

    def enable(self) -> None:
        """Let chunks move the arm; raise DemoError unless the driver agrees. From now on a fault is an error."""
        self._call(self._triggers[topics.ENABLE], Trigger.Request())
        ready = (DriverStatus.STATE_ACTIVE, DriverStatus.STATE_HOLDING)
        if not self.wait_until(lambda: self.status.state in ready, ENABLE_TIMEOUT_S):
            raise DemoError(f"the driver is {self.status.state} after {topics.ENABLE}: {self.status.reason}")
        self._enabled = True

    def stop(self) -> None:
        """Let no chunk move the arm."""
        self._call(self._triggers[topics.STOP], Trigger.Request())

    def reset(self, seed: int) -> None:
        """Reset the simulated world to a scene."""
        self._call(self._reset, ResetWorld.Request(seed=seed))

    def _call(self, client: Any, request: Any) -> None:
        if not self.wait_until(client.service_is_ready, SERVICE_TIMEOUT_S):
            raise DemoError(f"service {client.srv_name} does not exist after {SERVICE_TIMEOUT_S:.0f} s")
        future = client.call_async(request)
        if not self.wait_until(future.done, SERVICE_TIMEOUT_S):
            raise DemoError(f"service {client.srv_name} did not answer within {SERVICE_TIMEOUT_S:.0f} s")
        answer = future.result()
        if not answer.success:
            raise DemoError(f"service {client.srv_name} refused: {answer.message}")

    def _arm_state(self) -> str:
        return f" (the arm is now {self.status.state}: {self.status.reason})" if self.status.state else ""


def last_words(death: Death) -> str:
    """Return the last line that a process printed, as the end of a sentence."""
    return f" after saying: {death.last_lines[-1]}" if death.last_lines else ""
