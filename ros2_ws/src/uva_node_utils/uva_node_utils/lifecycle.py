# SPDX-License-Identifier: Apache-2.0
"""Lifecycle nodes that start by themselves, and the `main` of every node."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock

from uva_node_utils.errors import StartupError
from uva_node_utils.process import prepare_process
from uva_node_utils.timers import steady_timer

__all__ = ["AutostartLifecycleNode", "StartupError", "run"]

# How often `run` checks whether a signal has come. Callbacks do not wait for it.
_SIGNAL_POLL_S = 0.1

# The state after each transition that succeeds.
_NEXT_STATE = {
    "on_configure": "inactive",
    "on_activate": "active",
    "on_deactivate": "inactive",
    "on_cleanup": "unconfigured",
    "on_shutdown": "finalized",
    "on_error": "unconfigured",
}


class AutostartLifecycleNode(LifecycleNode):
    """A lifecycle node that configures and activates itself once it is spun, unless `autostart` is false.

    Subclasses override on_configure, on_activate, on_deactivate and on_cleanup as in any lifecycle node, and
    raise StartupError where something is wrong that the user can correct. rclpy on its own drops exceptions of
    transitions without a message; here a StartupError is logged as one line and makes the transition fail, and
    any other exception is logged with its traceback.
    """

    def __init__(self, node_name: str, **kwargs: Any) -> None:
        # Set before the base class looks the callbacks up.
        for name, next_state in _NEXT_STATE.items():
            setattr(self, name, self._guarded(getattr(self, name), next_state))
        self._state_name = "unconfigured"
        self._failure = ""
        self._autostarting = False
        self._startup_error: StartupError | None = None
        super().__init__(node_name, **kwargs)
        self._autostart_timer = None
        descriptor = ParameterDescriptor(
            description="Whether the node configures and activates itself when it starts.", read_only=True
        )
        if self.declare_parameter("autostart", True, descriptor).value:
            self._autostart_timer = steady_timer(self, 0.0, self._autostart_or_report)

    def create_subscription(self, msg_type: type, topic: str, callback: Callable[..., None], *args: Any, **kwargs: Any):
        """Subscribe as any node does, but leave out times before 1970 on /clock: rclpy would end the node for one."""
        subscribed = self._later_than_1970(callback) if msg_type is Clock else callback
        return super().create_subscription(msg_type, topic, subscribed, *args, **kwargs)

    @property
    def state_name(self) -> str:
        """The life cycle state: unconfigured, inactive, active or finalized."""
        return self._state_name

    @property
    def startup_error(self) -> StartupError | None:
        """Why the node could not start by itself; None if it could, or has not tried yet."""
        return self._startup_error

    def autostart(self) -> None:
        """Configure and activate now. Raises StartupError where one of the two fails."""
        if self._autostart_timer is not None:
            self._autostart_timer.cancel()
            self._autostart_timer = None
        if self._state_name != "unconfigured":
            return
        self._autostarting = True
        try:
            for transition in (self.trigger_configure, self.trigger_activate):
                if transition() != TransitionCallbackReturn.SUCCESS:
                    raise StartupError(self._failure or "the node did not start")
        finally:
            self._autostarting = False

    def _autostart_or_report(self) -> None:
        # Not raised: an executor with threads raises it only when the next callback is due.
        try:
            self.autostart()
        except StartupError as error:
            self.get_logger().fatal(str(error))
            self._startup_error = error

    def wind_down(self) -> None:
        """Deactivate and clean up, where the node is active or inactive."""
        if self._state_name == "active":
            self.trigger_deactivate()
        if self._state_name == "inactive":
            self.trigger_cleanup()

    def _later_than_1970(self, callback: Callable[[Clock], None]) -> Callable[[Clock], None]:
        def checked(message: Clock) -> None:
            if message.clock.sec >= 0:
                callback(message)
            else:
                text = f"ignored a time of {message.clock.sec} s on /clock: times must not be negative"
                self.get_logger().warning(text, throttle_duration_sec=10.0)

        return checked

    def _guarded(
        self, transition: Callable[[LifecycleState], TransitionCallbackReturn], next_state: str
    ) -> Callable[[LifecycleState], TransitionCallbackReturn]:
        def guarded(state: LifecycleState) -> TransitionCallbackReturn:
            try:
                result = transition(state)
            except StartupError as error:
                self._failure = str(error)
                # The caller of autostart() gets the message as an exception.
                if not self._autostarting:
                    self.get_logger().error(self._failure)
                return TransitionCallbackReturn.FAILURE
            except Exception as error:
                self._failure = f"{type(error).__name__}: {error}"
                self.get_logger().error(traceback.format_exc())
                return TransitionCallbackReturn.ERROR
            if result == TransitionCallbackReturn.SUCCESS:
                self._state_name = next_state
            return result

        return guarded


def run(
    node_factory: Callable[[], Node | Iterable[Node]],
    *,
    executor_factory: Callable[[], Executor] = SingleThreadedExecutor,
    args: list[str] | None = None,
) -> None:
    """Run the node or nodes that `node_factory` makes until SIGINT or SIGTERM, or until one cannot start.

    At the end lifecycle nodes are deactivated and cleaned up before ROS shuts down. A StartupError ends
    the process with exit code 1 and one line in the log, any other exception with its traceback. With
    UVA_DIE_WITH_PARENT=1 in the environment the end of the process that started this one counts as SIGTERM. Call it
    from the main thread.
    """
    prepare_process()
    try:
        # Without rclpy's own handlers, which would shut ROS down before the nodes have wound down.
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:
        # A wrong command line or parameter file raises one of several private types.
        sys.exit(f"cannot start ROS 2: {error}")
    stop = _stop_flag()
    executor = executor_factory()
    nodes: list[Node] = []
    try:
        made = node_factory()
        nodes.extend([made] if isinstance(made, Node) else made)
        for node in nodes:
            executor.add_node(node)
        while not stop():
            executor.spin_once(timeout_sec=_SIGNAL_POLL_S)
            if any(isinstance(node, AutostartLifecycleNode) and node.startup_error for node in nodes):
                sys.exit(1)
    except ExternalShutdownException:
        pass
    except StartupError as error:
        # Raised by a constructor, so no node could log it.
        get_logger(Path(sys.argv[0]).name).fatal(str(error))
        sys.exit(1)
    finally:
        # First: other threads must not run callbacks of nodes that are being destroyed.
        _finish_callbacks(executor)
        for node in reversed(nodes):
            if isinstance(node, AutostartLifecycleNode):
                node.wind_down()
            node.destroy_node()
        rclpy.try_shutdown()


def _finish_callbacks(executor: Executor) -> None:
    """Wait for running callbacks, and start no more."""
    pool = getattr(executor, "_executor", None)
    if isinstance(pool, ThreadPoolExecutor):
        # MultiThreadedExecutor.shutdown() destroys its guard condition while its threads still use it.
        pool.shutdown(wait=True)
    executor.shutdown()


def _stop_flag() -> Callable[[], bool]:
    """Return a function that tells whether SIGINT or SIGTERM has come since now."""
    received: list[int] = []

    def handle(signum: int, _frame: FrameType | None) -> None:
        # Further signals change nothing: a launcher often repeats what the terminal has sent already.
        received.append(signum)

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, handle)
    return lambda: bool(received)
