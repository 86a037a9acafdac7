# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node of the simulated camera, of ground truth and of resets."""

from __future__ import annotations

import functools
import time
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import qos_profile_sensor_data
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image

from arx_x5_sim.messages import BASE_FRAME, camera_info_message, image_message, world_state_message
from arx_x5_sim.parameters import SimCameraParameters
from arx_x5_sim.tasks.push.scene import BLOCK_NAMES
from arx_x5_sim.tasks.push.task import set_block
from arx_x5_sim.world.camera import RenderingUnavailableError
from arx_x5_sim.world.frame_loop import Frame, FrameLoop
from arx_x5_sim.world.simulation import Simulation
from uva_msgs.msg import WorldState
from uva_msgs.srv import ResetWorld
from uva_node_utils import topics
from uva_node_utils.diagnostics import DiagnosticsPublisher, Report
from uva_node_utils.latency import LatencyWindow
from uva_node_utils.lifecycle import AutostartLifecycleNode, StartupError
from uva_node_utils.parameters import declare

_STATE_QUEUE = 10
_RESET_TIMEOUT_S = 0.5  # a driver that was just stopped may still brake the arm
_DIAGNOSTICS_PERIOD_S = 1.0
_LOST_SHARE_WARN = 0.05
_WARNING_PERIOD_S = 10.0

NO_ROS_TIME = "no images are published: ROS time has not started; use_sim_time is true and /clock is silent or at 0"


class SimCamera(AutostartLifecycleNode):
    """Publish images and ground truth, and reset the world. The README lists parameters and topics."""

    def __init__(self, simulation: Simulation, **kwargs: Any) -> None:
        """Declare the parameters and reset the simulation to the seed that they name.

        Args:
            simulation: of the pushing task; the caller starts and stops it.
            kwargs: of the base class.

        Raises:
            StartupError: a wrong parameter.
        """
        super().__init__("sim_camera", **kwargs)
        self._settings = declare(self, SimCameraParameters)
        self._simulation = simulation
        self._image_ages_s = LatencyWindow()
        self._reported_lost_s = 0.0
        self._unstamped = 0  # frames since the last report that ROS time was too small for
        self._error: Exception | None = None
        simulation.reset(self._settings.seed)

    def on_configure(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Open topics and the service."""
        self._images = self.create_publisher(Image, topics.CAMERA, qos_profile_sensor_data)
        self._infos = self.create_publisher(CameraInfo, topics.CAMERA_INFO, qos_profile_sensor_data)
        self._world_states = self.create_publisher(WorldState, topics.WORLD_STATE, _STATE_QUEUE)
        # A group of its own, because the callback may wait for the driver.
        group = MutuallyExclusiveCallbackGroup()
        self._service = self.create_service(ResetWorld, topics.RESET, self._reset, callback_group=group)
        self._moves = [
            self.create_subscription(
                PoseStamped, f"sim/move_{name}", functools.partial(self._move_block, index), _STATE_QUEUE
            )
            for index, name in enumerate(BLOCK_NAMES)
        ]
        self._diagnostics = DiagnosticsPublisher(self, "simulation", self._report, _DIAGNOSTICS_PERIOD_S)
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Open the camera and start to publish."""
        settings = self._settings
        self._frames = FrameLoop(
            self._simulation,
            settings.image_width,
            settings.image_height,
            settings.rate_hz,
            self._publish,
            self._fail,
        )
        try:
            self._frames.start()
        except RenderingUnavailableError as error:
            raise StartupError(str(error)) from error
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Close the camera."""
        self._frames.stop()
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Close topics and the service."""
        self._diagnostics.destroy()
        self.destroy_service(self._service)
        for subscription in self._moves:
            self.destroy_subscription(subscription)
        for publisher in (self._images, self._infos, self._world_states):
            self.destroy_publisher(publisher)
        return TransitionCallbackReturn.SUCCESS

    def _publish(self, frame: Frame) -> None:
        time_then = ros_time(self.get_clock(), frame.stamp_s)
        if time_then is None:
            self._unstamped += 1
            return
        stamp = time_then.to_msg()
        height, width, _ = frame.image.shape
        self._images.publish(image_message(frame.image, stamp))
        self._infos.publish(camera_info_message(width, height, stamp))
        self._world_states.publish(world_state_message(frame.world, stamp))
        self._image_ages_s.add(time.monotonic() - frame.stamp_s)

    def _fail(self, error: Exception) -> None:
        self._error = error

    def _reset(self, request: ResetWorld.Request, response: ResetWorld.Response) -> ResetWorld.Response:
        response.success = self._simulation.wait_until_idle(_RESET_TIMEOUT_S)
        if response.success:
            self._simulation.reset(request.seed)
            response.message = f"the world is that of seed {request.seed}"
        else:
            response.message = "the arm is being driven, and a reset would make it jump: call x5/stop first"
        return response

    def _move_block(self, index: int, goal: PoseStamped) -> None:
        position, turn = goal.pose.position, goal.pose.orientation
        pose = np.array([position.x, position.y, 2.0 * np.arctan2(turn.z, turn.w)])
        if goal.header.frame_id == BASE_FRAME and np.isfinite(pose).all():
            self._simulation.change(lambda world: set_block(world, index, pose))
        else:
            self.get_logger().warning(
                f"{BLOCK_NAMES[index]} is not moved to {pose} in '{goal.header.frame_id}': "
                f"expected a finite pose in '{BASE_FRAME}'"
            )

    def _report(self) -> Report:
        if self._error is not None:
            raise self._error  # a bug in the camera's thread must end the process
        unstamped, self._unstamped = self._unstamped, 0
        lost_s = self._simulation.lost_s
        slow = lost_s - self._reported_lost_s > _LOST_SHARE_WARN * _DIAGNOSTICS_PERIOD_S
        self._reported_lost_s = lost_s
        if unstamped:
            level, message = DiagnosticStatus.WARN, NO_ROS_TIME
            self.get_logger().warning(NO_ROS_TIME, throttle_duration_sec=_WARNING_PERIOD_S)
        elif slow:
            level, message = DiagnosticStatus.WARN, "slower than real time"
        else:
            level, message = DiagnosticStatus.OK, "in real time"
        return level, message, {"time_lost_s": lost_s, "image_age_ms_p95": self._image_ages_s.p95 * 1e3}


def ros_time(clock: Clock, monotonic_s: float) -> Time | None:
    """Return the ROS time at which `time.monotonic()` had a value; None if that is not after ROS time's zero."""
    age_ns = round((time.monotonic() - monotonic_s) * 1e9)
    then_ns = clock.now().nanoseconds - age_ns
    return Time(nanoseconds=then_ns, clock_type=clock.clock_type) if then_ns > 0 else None
