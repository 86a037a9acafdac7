# SPDX-License-Identifier: Apache-2.0
"""The policy node: wiring between topics, the observation buffer, the model in its own thread, and publishers."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import torch
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState

import message_filters
from cv_bridge import CvBridge, CvBridgeError
from uva_core import MaskMode, images
from uva_core.checkpoint import CheckpointError
from uva_core.observation import Observation, ObservationNotReadyError
from uva_core.policy import UvaPolicy
from uva_msgs.msg import ActionChunk
from uva_msgs.srv import SetMaskMode
from uva_node_utils.diagnostics import DiagnosticsPublisher, LatencyWindow, Report
from uva_node_utils.lifecycle import AutostartLifecycleNode, StartupError
from uva_node_utils.parameters import declare
from uva_node_utils.time import seconds_to_stamp, stamp_to_seconds
from uva_policy_node.messages import MessageError, action_chunk, gripper_width, pose_matrix
from uva_policy_node.parameters import MODES, PolicyParameters
from uva_policy_node.strip import strip
from uva_policy_node.worker import Worker

INPUTS = (("camera/image_raw", Image), ("x5/joint_states", JointState), ("x5/eef_pose", PoseStamped))
STAGES = ("observation", "tokenizer", "transformer", "action_head", "inference")


class UvaPolicyNode(AutostartLifecycleNode):
    """Asks a UVA model for action chunks (`policy`) or future frames (`video`) at a steady rate."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("uva_policy_node", **kwargs)
        self._parameters = declare(self, PolicyParameters)
        self._mode = MaskMode(self._parameters.mask_mode)
        self._bridge = CvBridge()
        self._lock = threading.Lock()  # guards the buffer, which the worker reads
        self._windows = {stage: LatencyWindow() for stage in STAGES}
        self._intervals = LatencyWindow()
        self._policy: UvaPolicy | None = None
        self._worker: Worker | None = None

    # Life cycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model, warm it up, and connect."""
        p = self._parameters
        if not p.model:
            raise StartupError(
                "parameter 'model' is empty: give the path of a checkpoint, e.g. model:=uva_tiny.safetensors"
            )
        torch.set_num_threads(p.threads)
        try:
            self._policy = UvaPolicy.load(p.model)
        except CheckpointError as error:
            raise StartupError(str(error)) from None
        self._warn_untrained()
        sampling = self._policy.config.sampling
        self._sampling = replace(
            sampling,
            action_steps=p.denoising_steps or sampling.action_steps,
            action_temperature=p.temperature if p.temperature >= 0 else sampling.action_temperature,
        )
        self._policy.predict_actions([self._policy.blank_observation()], [0], self._sampling)  # the first one is slow
        self._buffer = self._policy.make_buffer()
        self._sequence, self._last_s, self._complete_s, self._configured_s = 0, 0.0, 0.0, time.monotonic()
        self._last_input_s = dict.fromkeys((name for name, _ in INPUTS), 0.0)

        self._chunks = self.create_publisher(ActionChunk, "uva/action_chunk", 10)
        self._frames = self.create_publisher(Image, "uva/predicted_image", 10)
        self._strips = self.create_publisher(Image, "uva/predicted_strip", 10)
        self._subscribers = [
            message_filters.Subscriber(self, kind, name, qos_profile=qos_profile_sensor_data) for name, kind in INPUTS
        ]
        for (name, _), subscriber in zip(INPUTS, self._subscribers, strict=True):
            subscriber.registerCallback(self._heard, name)
        self._synchronizer = message_filters.ApproximateTimeSynchronizer(
            self._subscribers, p.sync_queue_size, p.sync_slop_s
        )
        self._synchronizer.registerCallback(self._observed)
        self._service = self.create_service(SetMaskMode, "uva/set_mask_mode", self._set_mask_mode)
        self._diagnostics = DiagnosticsPublisher(self, "inference", self._report)
        self._watch = self.create_timer(p.observation_timeout_s, self._complain_of_silence)
        self.get_logger().info(
            f"loaded {p.model} ({sum(t.numel() for t in self._policy.parameters()) / 1e6:.1f} M parameters), "
            f"mask mode '{self._mode.value}'"
        )
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin with an empty history."""
        with self._lock:
            self._buffer.clear()
        self._worker = Worker(self._infer, self._inference_failed)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop asking the model."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Disconnect and drop the model."""
        for subscriber in self._subscribers:
            self.destroy_subscription(subscriber.sub)
        for publisher in (self._chunks, self._frames, self._strips):
            self.destroy_publisher(publisher)
        self.destroy_service(self._service)
        self.destroy_timer(self._watch)
        self._diagnostics.destroy()
        self._policy = None
        return TransitionCallbackReturn.SUCCESS

    # Inputs

    def _heard(self, message: Any, name: str) -> None:
        self._last_input_s[name] = time.monotonic()

    def _observed(self, image: Image, joints: JointState, pose: PoseStamped) -> None:
        """Take a synchronised image, joint state and pose into the history, and ask for an inference when due."""
        worker = self._worker
        if worker is None:
            return
        started = time.perf_counter()
        try:
            picture = self._bridge.imgmsg_to_cv2(image, "rgb8")
            matrix, width = pose_matrix(pose, self._parameters.pose_frame), gripper_width(joints)
        except (CvBridgeError, MessageError) as error:
            self.get_logger().warning(f"observation dropped: {error}", throttle_duration_sec=2.0)
            return
        with self._lock:
            stamp_s = stamp_to_seconds(image.header.stamp)
            self._buffer.add_pose(stamp_s, matrix, width)
            self._buffer.add_image(stamp_s, picture)
        self._complete_s = time.monotonic()
        self._windows["observation"].add((time.perf_counter() - started) * 1e3)
        # A little early is on time: images come at their own rate.
        if time.monotonic() - self._last_s > 0.9 / self._parameters.rate_hz:
            worker.ask()

    # Inference, in the worker's thread

    def _infer(self) -> None:
        self._last_s, previous = time.monotonic(), self._last_s
        try:
            with self._lock:
                observation = self._buffer.sample()
        except ObservationNotReadyError as reason:
            self.get_logger().info(f"waiting: {reason}", throttle_duration_sec=2.0)
            return
        if previous:
            self._intervals.add(self._last_s - previous)
        if self._mode is MaskMode.POLICY:
            self._publish_chunk(observation)
        else:
            self._publish_frames(observation)
        self._sequence += 1

    def _inference_failed(self, error: Exception) -> None:
        self.get_logger().error(f"inference failed: {type(error).__name__}: {error}", throttle_duration_sec=2.0)

    def _publish_chunk(self, observation: Observation) -> None:
        assert self._policy is not None
        started = time.perf_counter()
        (prediction,) = self._policy.predict_actions([observation], [self._seed()], self._sampling)
        inference_s = time.perf_counter() - started
        for stage, seconds in {**prediction.stage_s, "inference": inference_s}.items():
            self._windows[stage].add(seconds * 1e3)
        chunk = action_chunk(
            prediction,
            stamp_s=observation.stamp_s,
            frame=self._parameters.pose_frame,
            mode=self._mode.value,
            sequence=self._sequence,
            inference_s=inference_s,
        )
        # The mode may have changed meanwhile, and only this mode may move the arm.
        if self._mode is MaskMode.POLICY:
            self._chunks.publish(chunk)

    def _publish_frames(self, observation: Observation) -> None:
        assert self._policy is not None
        started = time.perf_counter()
        iterations = self._parameters.video_iterations
        (prediction,) = self._policy.predict_video([observation], [self._seed()], self._sampling, iterations)
        self._windows["inference"].add((time.perf_counter() - started) * 1e3)
        for frame, seconds in zip(prediction.frames, prediction.time_from_observation_s, strict=True):
            self._publish_image(self._frames, frame, observation.stamp_s + float(seconds))
        config = self._policy.config.observation
        history_s = [offset / config.rate_hz for offset in config.frame_offsets]
        history = images.to_uint8(observation.frames)
        picture = strip(history, history_s, prediction.frames, list(prediction.time_from_observation_s))
        self._publish_image(self._strips, picture, observation.stamp_s)

    def _publish_image(self, publisher: Any, picture: Any, stamp_s: float) -> None:
        message = self._bridge.cv2_to_imgmsg(picture, "rgb8")
        message.header.stamp = seconds_to_stamp(stamp_s)
        publisher.publish(message)

    def _seed(self) -> int:
        return self._parameters.seed + self._sequence

    # Mode, diagnostics

    def _set_mask_mode(self, request: SetMaskMode.Request, response: SetMaskMode.Response) -> SetMaskMode.Response:
        if request.mask_mode not in MODES:
            response.success = False
            response.message = f"unknown mask mode '{request.mask_mode}'; choose one of: {', '.join(MODES)}"
            return response
        self._mode = MaskMode(request.mask_mode)
        for window in self._windows.values():
            window.clear()
        self._warn_untrained()
        response.success, response.message = True, f"mask mode is '{self._mode.value}'"
        self.get_logger().info(response.message)
        return response

    def _warn_untrained(self) -> None:
        trained = self._policy.config.trained_modes if self._policy else ()
        if trained and self._mode.value not in trained:
            self.get_logger().warning(
                f"this model was not trained in mode '{self._mode.value}', only: {', '.join(trained)}"
            )

    def _silent_topics(self) -> list[str]:
        now, limit = time.monotonic(), self._parameters.observation_timeout_s
        return [
            self.resolve_topic_name(name)
            for name, heard in self._last_input_s.items()
            if now - max(heard, self._configured_s) > limit
        ]

    def _complain_of_silence(self) -> None:
        limit = self._parameters.observation_timeout_s
        if self._worker is None or time.monotonic() - max(self._complete_s, self._configured_s) <= limit:
            return
        silent = self._silent_topics()
        why = (
            f"nothing on {', '.join(silent)}" if silent else f"no stamps match within {self._parameters.sync_slop_s} s"
        )
        self.get_logger().warning(f"no observation for {limit:.1f} s: {why}", throttle_duration_sec=5.0)

    def _report(self) -> Report:
        values: dict[str, Any] = {"mask_mode": self._mode.value, "inferences": self._sequence}
        for stage, window in self._windows.items():
            if len(window):
                values[f"{stage}_ms_p50"], values[f"{stage}_ms_p95"] = window.p50, window.p95
        if len(self._intervals):
            values["chunk_rate_hz"] = 1.0 / self._intervals.p50
        silent = self._silent_topics()
        if silent:
            return DiagnosticStatus.ERROR, f"nothing on {', '.join(silent)}", values
        return DiagnosticStatus.OK, f"mask mode '{self._mode.value}'", values
