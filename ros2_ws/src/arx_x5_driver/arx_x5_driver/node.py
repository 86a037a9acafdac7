# SPDX-License-Identifier: Apache-2.0
"""The driver's lifecycle node: wires topics, services and parameters to the runtime."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from arx_x5_driver.arm import Arm, ArmCommand, ArmError, ArmState
from arx_x5_driver.arm_selection import make_arm, release_notice
from arx_x5_driver.arms import DryRunArm
from arx_x5_driver.chunk_inbox import ChunkInbox
from arx_x5_driver.control.clock_offset import ClockOffset
from arx_x5_driver.control.controller import Controller
from arx_x5_driver.control.runtime import Runtime
from arx_x5_driver.control.state import RequestRefusedError, Snapshot, State
from arx_x5_driver.geometry.kinematics import SdkKinematics, SdkMissingError
from arx_x5_driver.geometry.se3 import Pose
from arx_x5_driver.messages import LoopMessages, diagnostics, status_message
from arx_x5_driver.parameters import DriverParameters
from arx_x5_driver.rules.divergence_guard import OFF
from uva_msgs.msg import ActionChunk, DriverStatus
from uva_node_utils import topics
from uva_node_utils.diagnostics import DiagnosticsPublisher, Report
from uva_node_utils.lifecycle import AutostartLifecycleNode, StartupError
from uva_node_utils.parameters import declare
from uva_node_utils.timers import steady_timer

EXECUTOR_THREADS = 2
"""One reads chunks. The other does all else: stop, enable and the status never wait for a chunk to be read."""

_STATUS_PERIOD_S = 0.05  # while the control loop runs, in whose pauses it is published

_QUEUE = 10
_NAMES = 5  # the most that a message lists
_CHUNK_QUEUE = 1  # an older chunk is worth nothing once a newer one is here

_LEVELS = {State.FAULT: DiagnosticStatus.ERROR, State.STOPPED: DiagnosticStatus.WARN}


class ArxX5Driver(AutostartLifecycleNode):
    """Execute action chunks on an arm. The README lists parameters, topics, services and states."""

    def __init__(self, arm: Arm | None = None, **kwargs: Any) -> None:
        """Declare the parameters.

        Args:
            arm: the arm to drive; by default the one that the parameter `arm` names.
            kwargs: for the base class.

        Raises:
            StartupError: A parameter is wrong.
        """
        super().__init__("arx_x5_driver", **kwargs)
        self._settings = declare(self, DriverParameters)
        try:
            self._arm: Arm = arm or make_arm(self._settings)
        except ValueError as error:
            raise StartupError(str(error)) from error
        name = type(arm).__name__ if arm else f"{self._settings.arm} {self._settings.arm_model}"
        self.get_logger().info(f"{self.get_fully_qualified_name()} drives {name}, dry_run: {self._settings.dry_run}")
        if self._settings.dry_run:
            self._arm = DryRunArm(self._arm)
        self._messages = LoopMessages(self._settings.frame, self._settings.command_lead_s)
        self._runtime: Runtime  # between configuration and clean-up
        self._configured = False
        self._logged_state = State.UNCONFIGURED
        self._ros_ahead = ClockOffset()
        self._entities: list[tuple[Callable[[Any], Any], Any]] = []

    @property
    def realtime_priority(self) -> int:
        """Real-time priority that the control loop asks for; 0: none."""
        return int(self._settings.realtime_priority)

    def on_configure(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Connect to the arm and open topics and services."""
        settings = self._settings
        try:
            config = settings.controller_config()
            kinematics = SdkKinematics(settings.arm_model)
            controller = Controller(config, kinematics)
            self._arm.connect()
        except (SdkMissingError, ValueError, ArmError) as error:
            raise StartupError(str(error)) from error
        self._compare_clocks(tries=10)
        self._news = self.create_guard_condition(self._on_news)
        self._entities.append((self.destroy_guard_condition, self._news))
        self._runtime = Runtime(
            self._arm,
            controller,
            kinematics,
            1.0 / settings.rate_hz,
            self._publish_period,
            self._news.trigger,
            settings.realtime_priority,
            max(1, round(_STATUS_PERIOD_S * settings.rate_hz)),
        )
        silence_s = settings.chunk_timeout_s or settings.max_chunk_horizon_s
        self._inbox = ChunkInbox(self, self._runtime, silence_s, lambda: self._ros_ahead.ns)
        self._configured = True
        self._open()
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Start the control loop."""
        try:
            self._runtime.start()
            if self._settings.dry_run:
                self.get_logger().warning("dry_run: no command is sent to the arm; a real one still carries itself")
            if self._settings.enable_on_activate:
                self._runtime.enable()
        except (ArmError, RequestRefusedError) as error:
            self._runtime.stop()
            raise StartupError(str(error)) from error
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Bring the arm to rest and end the control loop."""
        self._runtime.stop()
        self._publish_status()
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Close topics and services and release the arm."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Bring the arm to rest and release it, from any state."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Release the arm after a transition that failed half-way."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def _release(self) -> None:
        if not self._configured:
            return
        self._configured = False
        self._runtime.stop()
        self._runtime.close()
        self._publish_status()
        for destroy, entity in reversed(self._entities):
            destroy(entity)
        self._entities.clear()
        self.get_logger().info(release_notice(self._settings))
        self._arm.close()
        self.get_logger().info("released the arm")

    def _open(self) -> None:
        def publisher(kind: type, topic: str) -> Any:
            made = self.create_publisher(kind, topic, _QUEUE)
            self._entities.append((self.destroy_publisher, made))
            return made

        self._joint_states = publisher(JointState, topics.JOINT_STATES)
        self._eef_pose = publisher(PoseStamped, topics.EEF_POSE)
        self._joint_command = publisher(JointTrajectory, topics.JOINT_COMMAND)
        self._status = publisher(DriverStatus, topics.DRIVER_STATUS)
        group = MutuallyExclusiveCallbackGroup()
        self._subscribe(ActionChunk, topics.ACTION_CHUNK, self._inbox.receive, raw=True, callback_group=group)
        if self._settings.guard != OFF:
            self._subscribe(Float32, topics.DIVERGENCE, self._on_divergence)
        for name, callback in ((topics.ENABLE, self._enable), (topics.STOP, self._stop), (topics.HOME, self._home)):
            service = self.create_service(Trigger, name, callback)
            self._entities.append((self.destroy_service, service))
        self._silence = steady_timer(self, 2.0 * _STATUS_PERIOD_S, self._on_status_timer)  # notices a loop that hangs
        self._entities.append((self.destroy_timer, self._silence))
        diagnostics = DiagnosticsPublisher(self, "control loop", self._report)
        self._entities.append((DiagnosticsPublisher.destroy, diagnostics))

    def _subscribe(self, kind: type, topic: str, callback: Callable[..., None], **options: Any) -> None:
        subscription = self.create_subscription(kind, topic, callback, _CHUNK_QUEUE, **options)
        self._entities.append((self.destroy_subscription, subscription))

    def _publish_period(self, now_s: float, measured: ArmState, pose: Pose, command: ArmCommand | None) -> None:
        measured_ns = self._ros_ahead.ns + int((measured.stamp_s - self._settings.state_latency_s) * 1e9)
        self._joint_states.publish(self._messages.joint_states(measured, measured_ns))
        self._eef_pose.publish(self._messages.eef_pose(pose, measured_ns))
        if command is not None:
            self._joint_command.publish(self._messages.joint_command(command, self._ros_ahead.ns + int(now_s * 1e9)))

    def _on_divergence(self, message: Float32) -> None:
        self._runtime.report_divergence(message.data, time.monotonic())

    def _enable(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return _answer(response, self._runtime.enable, "enabled, waiting for a chunk")

    def _home(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return _answer(response, self._runtime.home, "moving to the home position")

    def _stop(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return _answer(response, lambda: self._runtime.halt("stop was called"))

    def _on_news(self) -> None:
        self._silence.reset()
        self._on_status_timer()

    def _on_status_timer(self) -> None:
        if self._runtime.error is not None:
            raise self._runtime.error
        self._compare_clocks()
        self._publish_status()

    def _compare_clocks(self, tries: int = 1) -> None:
        # The loop only adds the offset: reading the ROS clock there would cost as much as a publication.
        for _ in range(tries):
            self._ros_ahead.compare(time.monotonic_ns(), self.get_clock().now().nanoseconds, time.monotonic_ns())

    def _publish_status(self) -> None:
        snapshot, statistics = self._runtime.watch()
        message = status_message(snapshot, statistics, self._settings.dry_run)
        message.header.stamp = self.get_clock().now().to_msg()
        self._status.publish(message)
        self._log_change(snapshot)

    def _log_change(self, snapshot: Snapshot) -> None:
        if snapshot.state is self._logged_state:
            return
        self._logged_state = snapshot.state
        text = snapshot.state.value + (f": {snapshot.reason}" if snapshot.state is not State.ACTIVE else "")
        # rclpy wants one severity for each place that logs.
        if snapshot.state is State.FAULT:
            self.get_logger().error(text)
        else:
            self.get_logger().info(text)

    def _report(self) -> Report:
        snapshot, statistics = self._runtime.watch()
        values = diagnostics(snapshot, statistics, self._settings.dry_run)
        warnings = self._warnings(snapshot)
        level = _LEVELS.get(snapshot.state, DiagnosticStatus.WARN if warnings else DiagnosticStatus.OK)
        return level, "; ".join([*warnings, snapshot.reason]), values

    def _warnings(self, snapshot: Snapshot) -> list[str]:
        """Return what an operator should know beside the driver's state."""
        warnings = []
        if self._settings.guard != OFF and snapshot.state is State.ACTIVE and math.isnan(snapshot.divergence):
            warnings.append("the guard hears no divergence: does the model predict frames?")
        publishers = sorted(self._inbox.publishers().values())
        if len(publishers) > 1:
            warnings.append(f"one of {len(publishers)} publishers of chunks is followed: {_listed(publishers)}")
        if self.get_clock().ros_time_is_active and not self.get_clock().now().nanoseconds:
            warnings.append("use_sim_time is set and /clock is silent: all stamps are 0 and chunks are rejected")
            self.get_logger().warning(warnings[-1], throttle_duration_sec=10.0)
        return warnings


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_NAMES]) + (", ..." if len(names) > _NAMES else "")


def _answer(response: Trigger.Response, request: Callable[[], str | None], done: str = "") -> Trigger.Response:
    try:
        said = request()
    except RequestRefusedError as refusal:
        response.success, response.message = False, str(refusal)
    else:
        response.success, response.message = True, said or done
    return response
