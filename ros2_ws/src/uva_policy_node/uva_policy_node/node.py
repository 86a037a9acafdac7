# SPDX-License-Identifier: Apache-2.0
"""The policy node: wiring between topics, the observation buffer, the model in its own thread, and publishers."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable
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
from uva_core.modes import RULES
from uva_core.observation import STEP_BACK_S, Observation, ObservationNotReadyError
from uva_core.policy import UvaPolicy
from uva_msgs.msg import ActionChunk
from uva_msgs.srv import SetMaskMode
from uva_node_utils.diagnostics import DiagnosticsPublisher, LatencyWindow, Report
from uva_node_utils.lifecycle import AutostartLifecycleNode, StartupError
from uva_node_utils.parameters import declare
from uva_node_utils.time import seconds_to_stamp, stamp_to_seconds
from uva_policy_node.messages import action_chunk, gripper_width, pose_matrix
from uva_policy_node.parameters import MODES, PolicyParameters
from uva_policy_node.strip import strip
from uva_policy_node.worker import Worker

INPUTS = (("camera/image_raw", Image), ("x5/joint_states", JointState), ("x5/eef_pose", PoseStamped))
CAMERA = INPUTS[0][0]
STAGES = ("observation", "tokenizer", "transformer", "action_head", "inference")
# How long activation and the end of the process wait for the last inference.
ACTIVATE_WAIT_S, EXIT_WAIT_S = 0.5, 5.0


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
        self._worker: Worker | None = None  # while active
        self._last_worker: Worker | None = None
        self._resources = contextlib.ExitStack()
        # Both go on over a reconfiguration: who listens takes a sequence that starts anew for a stray message.
        self._sequence, self._inferences = 0, 0
        self._problem: tuple[bytes, str] | None = None

    # Life cycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model, warm it up, and connect."""
        p = self._parameters
        if not p.model:
            raise StartupError(
                "parameter 'model' is empty: give the path of a checkpoint, e.g. model:=uva_tiny.safetensors"
            )
        torch.set_num_threads(p.threads)
        policy = self._load(p)
        self._buffer = policy.make_buffer()
        self._last_s = 0.0
        self._matched_s = self._published_s = self._since_s = time.monotonic()
        self._last_input_s = dict.fromkeys((name for name, _ in INPUTS), 0.0)

        self._chunks = self._publisher(ActionChunk, "uva/action_chunk")
        self._frames = self._publisher(Image, "uva/predicted_image")
        self._strips = self._publisher(Image, "uva/predicted_strip")
        self._synchronize()
        for name, kind in INPUTS:
            heard = functools.partial(self._heard, name)
            subscription = self.create_subscription(kind, name, heard, qos_profile_sensor_data)
            self._resources.callback(self.destroy_subscription, subscription)
        service = self.create_service(SetMaskMode, "uva/set_mask_mode", self._set_mask_mode)
        self._resources.callback(self.destroy_service, service)
        self._resources.callback(DiagnosticsPublisher(self, "inference", self._report).destroy)
        watch = self.create_timer(p.observation_timeout_s, self._complain)
        self._resources.callback(self.destroy_timer, watch)
        self._policy = policy
        self.get_logger().info(
            f"loaded {p.model} ({sum(t.numel() for t in policy.parameters()) / 1e6:.1f} M parameters), "
            f"mask mode '{self._mode.value}'"
        )
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin with an empty history."""
        if self._last_worker is not None and not self._last_worker.join(ACTIVATE_WAIT_S):
            raise StartupError("the inference of before the deactivation is still running: activate again later")
        with self._lock:
            self._buffer.clear()
        self._last_s = 0.0
        self._matched_s = self._published_s = self._since_s = time.monotonic()
        self._problem = None
        self._intervals.clear()
        self._worker = self._last_worker = Worker(self._infer, self._inference_failed)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop asking the model. What it still works on is thrown away."""
        self._stop_worker()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Disconnect and drop the model."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop, disconnect and drop the model, from whatever state."""
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to the start after a transition that raised."""
        self._release()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Stop, and give a running inference the time to end."""
        self._release()
        if self._last_worker is not None:
            self._last_worker.join(EXIT_WAIT_S)
        super().destroy_node()

    def _stop_worker(self) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _release(self) -> None:
        self._stop_worker()
        self._resources.close()
        self._policy = None  # a running inference has its own reference

    def _load(self, p: PolicyParameters) -> UvaPolicy:
        """Load the model and ask it once: the first time is slow, and shows what does not fit."""
        try:
            policy = UvaPolicy.load(p.model)
        except CheckpointError as error:
            raise StartupError(str(error)) from None
        refusal = self._untrained(policy, self._mode)
        if refusal:
            raise StartupError(refusal)
        tokens = policy.config.model.tokens_per_frame
        if p.video_iterations > tokens:
            raise StartupError(
                f"parameter 'video_iterations' is {p.video_iterations}, but this model has {tokens} tokens per frame"
            )
        sampling = policy.config.sampling
        try:
            self._sampling = replace(
                sampling,
                action_steps=p.denoising_steps or sampling.action_steps,
                action_temperature=p.temperature if p.temperature >= 0 else sampling.action_temperature,
            )
            policy.predict_actions([policy.blank_observation()], [0], self._sampling)
        except ValueError as error:
            raise StartupError(
                f"the model cannot be asked with denoising_steps={p.denoising_steps}, temperature={p.temperature}: "
                f"{error}"
            ) from None
        return policy

    def _publisher(self, kind: Any, topic: str) -> Any:
        publisher = self.create_publisher(kind, topic, 10)
        self._resources.callback(self.destroy_publisher, publisher)
        return publisher

    # Inputs

    def _synchronize(self) -> None:
        """Match stamps with empty queues."""
        self._newest_s = dict.fromkeys((name for name, _ in INPUTS), 0.0)
        self._inputs = {name: message_filters.SimpleFilter() for name, _ in INPUTS}
        synchronizer = message_filters.ApproximateTimeSynchronizer(
            list(self._inputs.values()), self._parameters.sync_queue_size, self._parameters.sync_slop_s
        )
        synchronizer.registerCallback(self._observed)

    def _heard(self, name: str, message: Any) -> None:
        self._last_input_s[name] = time.monotonic()
        stamp_s, newest_s = stamp_to_seconds(message.header.stamp), self._newest_s[name]
        if stamp_s < newest_s - STEP_BACK_S:
            # Full queues take nothing that is older than what they hold, so nothing would match any more.
            self.get_logger().warning(
                f"stamps on {self.resolve_topic_name(name)} step back by {newest_s - stamp_s:.2f} s: "
                "the history starts anew",
                throttle_duration_sec=2.0,
            )
            self._synchronize()
            with self._lock:
                self._buffer.clear()
        self._newest_s[name] = max(stamp_s, self._newest_s[name])
        # Images are large: they are not kept to wait for an arm that says nothing.
        if name != CAMERA or not self._silent_topics():
            self._inputs[name].signalMessage(message)

    def _observed(self, image: Image, joints: JointState, pose: PoseStamped) -> None:
        """Take a synchronised image, joint state and pose into the history, and ask for an inference when due."""
        self._matched_s = time.monotonic()
        worker = self._worker
        if worker is None:
            return
        started = time.perf_counter()
        try:
            picture = self._bridge.imgmsg_to_cv2(image, "rgb8")
            matrix, width = pose_matrix(pose, self._parameters.pose_frame), gripper_width(joints)
            with self._lock:
                self._buffer.add_pose(stamp_to_seconds(pose.header.stamp), matrix, width)
                added = self._buffer.add_image(stamp_to_seconds(image.header.stamp), picture)
        except (CvBridgeError, ValueError) as error:
            self._problem = DiagnosticStatus.ERROR, f"observation dropped: {error}"
            self.get_logger().warning(self._problem[1], throttle_duration_sec=2.0)
            return
        self._windows["observation"].add((time.perf_counter() - started) * 1e3)
        # A little early is on time: images come at their own rate.
        if added and time.monotonic() - self._last_s > 0.9 / self._parameters.rate_hz:
            worker.ask()

    # Inference, in the worker's thread

    def _infer(self, worker: Worker) -> None:
        policy, mode = self._policy, self._mode
        self._last_s = time.monotonic()
        if policy is None:
            return
        try:
            with self._lock:
                observation = self._buffer.sample()
        except ObservationNotReadyError as reason:
            self._problem = DiagnosticStatus.WARN, f"waiting: {reason}"
            self.get_logger().info(self._problem[1], throttle_duration_sec=2.0)
            return
        self._problem = DiagnosticStatus.WARN, "an inference takes long"
        predict = self._predict_chunk if mode is MaskMode.POLICY else self._predict_frames
        publish = predict(policy, observation)
        self._inferences += 1

        def give() -> None:
            # The mode may have changed meanwhile, and only `policy` may move the arm.
            if self._mode is mode:
                publish()
                self._published()

        worker.deliver(give)

    def _published(self) -> None:
        now, previous = time.monotonic(), self._published_s
        self._published_s, self._problem = now, None
        if previous == self._since_s or now - previous > self._patience_s:
            self._intervals.clear()
        else:
            self._intervals.add(now - previous)

    def _inference_failed(self, error: Exception) -> None:
        self._problem = DiagnosticStatus.ERROR, f"inference failed: {type(error).__name__}: {error}"
        self.get_logger().error(self._problem[1], throttle_duration_sec=2.0)

    def _predict_chunk(self, policy: UvaPolicy, observation: Observation) -> Callable[[], None]:
        started = time.perf_counter()
        (prediction,) = policy.predict_actions([observation], [self._seed()], self._sampling)
        inference_s = time.perf_counter() - started
        for stage, seconds in {**prediction.stage_s, "inference": inference_s}.items():
            self._windows[stage].add(seconds * 1e3)
        chunk = action_chunk(
            prediction,
            stamp_s=observation.stamp_s,
            frame=self._parameters.pose_frame,
            mode=MaskMode.POLICY.value,
            sequence=self._sequence,
            inference_s=inference_s,
        )

        def publish() -> None:
            self._chunks.publish(chunk)
            self._sequence += 1

        return publish

    def _predict_frames(self, policy: UvaPolicy, observation: Observation) -> Callable[[], None]:
        started = time.perf_counter()
        iterations = self._parameters.video_iterations
        (prediction,) = policy.predict_video([observation], [self._seed()], self._sampling, iterations)
        self._windows["inference"].add((time.perf_counter() - started) * 1e3)
        config = policy.config.observation
        history_s = [offset / config.rate_hz for offset in config.frame_offsets]
        history = images.to_uint8(observation.frames)
        picture = strip(history, history_s, prediction.frames, list(prediction.time_from_observation_s))

        def publish() -> None:
            for frame, seconds in zip(prediction.frames, prediction.time_from_observation_s, strict=True):
                self._publish_image(self._frames, frame, observation.stamp_s + float(seconds))
            self._publish_image(self._strips, picture, observation.stamp_s)

        return publish

    def _publish_image(self, publisher: Any, picture: Any, stamp_s: float) -> None:
        message = self._bridge.cv2_to_imgmsg(picture, "rgb8")
        message.header.stamp = seconds_to_stamp(stamp_s)
        publisher.publish(message)

    def _seed(self) -> int:
        return self._parameters.seed + self._inferences

    # Mode, diagnostics

    def _set_mask_mode(self, request: SetMaskMode.Request, response: SetMaskMode.Response) -> SetMaskMode.Response:
        if request.mask_mode not in MODES:
            response.success = False
            response.message = f"unknown mask mode '{request.mask_mode}'; choose one of: {', '.join(MODES)}"
            return response
        mode = MaskMode(request.mask_mode)
        refusal = self._untrained(self._policy, mode)
        if refusal:
            response.success, response.message = False, refusal
            return response
        worker = self._worker
        if worker is None:
            self._mode = mode
        else:
            worker.deliver(functools.partial(setattr, self, "_mode", mode))  # not while a chunk is being published
        for window in (*self._windows.values(), self._intervals):
            window.clear()
        self._since_s = self._published_s = time.monotonic()
        response.success, response.message = True, f"mask mode is '{self._mode.value}'"
        self.get_logger().info(response.message)
        return response

    def _untrained(self, policy: UvaPolicy | None, mode: MaskMode) -> str:
        """Say why the model may not be asked in this mode, or warn where the result can do no harm."""
        trained = policy.config.trained_modes if policy else ()
        if not trained or mode.value in trained:
            return ""
        text = f"this model was not trained in mode '{mode.value}', only: {', '.join(trained)}"
        if RULES[mode].decodes_actions:
            return f"{text}; its actions would move the arm at random"
        self.get_logger().warning(text)
        return ""

    @property
    def _patience_s(self) -> float:
        """For how long nothing need be published."""
        return self._parameters.observation_timeout_s + 1.0 / self._parameters.rate_hz

    def _silent_topics(self) -> list[str]:
        now, limit = time.monotonic(), self._parameters.observation_timeout_s
        return [self.resolve_topic_name(name) for name, heard in self._last_input_s.items() if now - heard > limit]

    def _trouble(self) -> tuple[bytes, str] | None:
        """Why the node does not do its work, None if it does, is inactive, or has hardly begun."""
        now, limit = time.monotonic(), self._parameters.observation_timeout_s
        silent = self._silent_topics()
        if silent:
            return DiagnosticStatus.ERROR, f"nothing on {', '.join(silent)}"
        if self._worker is None or now - self._published_s <= self._patience_s:
            return None
        if now - self._matched_s > limit:
            return DiagnosticStatus.ERROR, f"no stamps match within {self._parameters.sync_slop_s} s"
        return self._problem or (DiagnosticStatus.WARN, "nothing published")

    def _complain(self) -> None:
        trouble = self._trouble()
        if trouble and self._worker is not None and time.monotonic() - self._since_s > self._patience_s:
            self.get_logger().warning(
                f"nothing published for {time.monotonic() - self._published_s:.1f} s: {trouble[1]}",
                throttle_duration_sec=5.0,
            )

    def _report(self) -> Report:
        values: dict[str, Any] = {
            "mask_mode": self._mode.value,
            "inferences": self._inferences,
            "chunks": self._sequence,
        }
        for stage, window in self._windows.items():
            if len(window):
                values[f"{stage}_ms_p50"], values[f"{stage}_ms_p95"] = window.p50, window.p95
        if len(self._intervals):
            late = time.monotonic() - self._published_s > self._patience_s
            values["chunk_rate_hz"] = 0.0 if late or self._worker is None else 1.0 / self._intervals.p50
        level, message = self._trouble() or (DiagnosticStatus.OK, f"mask mode '{self._mode.value}'")
        return level, message, values
