# SPDX-License-Identifier: Apache-2.0
"""The policy node: wiring between topics, the observation buffer, the model in its own thread, and publishers."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from typing import Any

import torch
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState

import message_filters
from cv_bridge import CvBridge, CvBridgeError
from uva_core import MaskMode, images
from uva_core.actions import ActionSequence
from uva_core.observation.buffer import STEP_BACK_S, ObservationNotReadyError
from uva_msgs.msg import ActionChunk
from uva_msgs.srv import SetInstruction, SetMaskMode
from uva_node_utils.diagnostics import DiagnosticsPublisher, LatencyWindow, Report
from uva_node_utils.lifecycle import AutostartLifecycleNode, StartupError
from uva_node_utils.parameters import declare
from uva_node_utils.time import seconds_to_stamp, stamp_to_seconds
from uva_node_utils.timers import steady_timer
from uva_policy_node.divergence import Expectations
from uva_policy_node.inference import Asker, Task
from uva_policy_node.loading import load, refusal
from uva_policy_node.messages import MessageError, action_sequence, gripper_width, pose_matrix
from uva_policy_node.outputs import Counts, Outputs
from uva_policy_node.parameters import PolicyParameters
from uva_policy_node.worker import Worker

INPUTS = (("camera/image_raw", Image), ("x5/joint_states", JointState), ("x5/eef_pose", PoseStamped))
CAMERA = INPUTS[0][0]
QUERIES = "uva/query_chunk"
STAGES = ("observation", "tokenizer", "transformer", "video", "action_head", "inference")
# How long activation and the end of the process wait for the last inference.
ACTIVATE_WAIT_S, EXIT_WAIT_S = 0.5, 5.0


class UvaPolicyNode(AutostartLifecycleNode):
    """Asks a UVA model, at a steady rate, what its mask mode wants to know; the mode may change at any time."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("uva_policy_node", **kwargs)
        self._settings = declare(self, PolicyParameters)
        self.add_on_set_parameters_callback(self._check_task)
        self.add_post_set_parameters_callback(self._switch_task)
        self._task = Task(MaskMode(self._settings.mask_mode))
        self._bridge = CvBridge()
        self._lock = threading.Lock()  # guards the buffer and the expectations, which the worker uses
        self._expectations = Expectations()
        self._windows = {stage: LatencyWindow() for stage in STAGES}
        self._intervals = LatencyWindow()
        self._asker: Asker | None = None
        self._query: ActionSequence | None = None
        self._worker: Worker | None = None  # while active
        self._last_worker: Worker | None = None
        self._resources = contextlib.ExitStack()
        # Both go on over a reconfiguration: who listens takes a sequence that starts anew for a stray message.
        self._counts, self._inferences = Counts(), 0
        self._problem: tuple[bytes, str] | None = None

    # Life cycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model, warm it up, and connect."""
        p = self._settings
        torch.set_num_threads(p.threads)
        asker = load(p, MaskMode(self.get_parameter("mask_mode").value))
        try:
            self._task = self._wanted_task(asker)
        except ValueError as error:
            raise StartupError(str(error)) from None
        policy = asker.policy
        self._buffer, self._query = policy.make_buffer(), None
        self._last_s = 0.0
        self._matched_s = self._published_s = self._since_s = time.monotonic()
        self._last_input_s = dict.fromkeys((name for name, _ in INPUTS), 0.0)

        self._outputs = Outputs(
            self._publisher, self._counts, policy.config.observation, frame=p.pose_frame, planner=p.planner
        )
        self._synchronize()
        for name, kind in INPUTS:
            self._subscribe(kind, name, functools.partial(self._heard, name), qos_profile_sensor_data)
        self._subscribe(ActionChunk, QUERIES, self._queried, 1)
        for kind, name, answer in (
            (SetMaskMode, "uva/set_mask_mode", self._set_mask_mode),
            (SetInstruction, "uva/set_instruction", self._set_instruction),
        ):
            self._resources.callback(self.destroy_service, self.create_service(kind, name, answer))
        self._resources.callback(DiagnosticsPublisher(self, "inference", self._report).destroy)
        watch = steady_timer(self, p.observation_timeout_s, self._complain)
        self._resources.callback(self.destroy_timer, watch)
        self._asker = asker
        self.get_logger().info(
            f"loaded {p.model} ({sum(t.numel() for t in policy.parameters()) / 1e6:.1f} M parameters)"
        )
        self._announce()
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin with an empty history."""
        if self._last_worker is not None and not self._last_worker.join(ACTIVATE_WAIT_S):
            raise StartupError("the inference of before the deactivation is still running: activate again later")
        self._forget()
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
        self._asker = None  # a running inference has its own reference

    def _publisher(self, kind: Any, topic: str) -> Any:
        publisher = self.create_publisher(kind, topic, 10)
        self._resources.callback(self.destroy_publisher, publisher)
        return publisher

    def _subscribe(self, kind: Any, topic: str, callback: Any, qos: Any) -> None:
        subscription = self.create_subscription(kind, topic, callback, qos)
        self._resources.callback(self.destroy_subscription, subscription)

    # Inputs

    def _synchronize(self) -> None:
        """Match stamps with empty queues."""
        self._newest_s = dict.fromkeys((name for name, _ in INPUTS), 0.0)
        self._inputs = {name: message_filters.SimpleFilter() for name, _ in INPUTS}
        synchronizer = message_filters.ApproximateTimeSynchronizer(
            list(self._inputs.values()), self._settings.sync_queue_size, self._settings.sync_slop_s
        )
        synchronizer.registerCallback(self._observed)

    def _heard(self, name: str, message: Any) -> None:
        self._last_input_s[name] = time.monotonic()
        if name == CAMERA and self._settings.camera_latency_s > 0.0:
            # Here, so that all that follows, the chunk's stamp included, knows only when the image was true.
            message.header.stamp = seconds_to_stamp(
                stamp_to_seconds(message.header.stamp) - self._settings.camera_latency_s
            )
        stamp_s, newest_s = stamp_to_seconds(message.header.stamp), self._newest_s[name]
        if stamp_s < newest_s - STEP_BACK_S:
            # Full queues take nothing that is older than what they hold, so nothing would match any more.
            self.get_logger().warning(
                f"stamps on {self.resolve_topic_name(name)} step back by {newest_s - stamp_s:.2f} s: "
                "the history starts anew",
                throttle_duration_sec=2.0,
            )
            self._synchronize()
            self._forget()
        self._newest_s[name] = max(stamp_s, self._newest_s[name])
        # Images are large: they are not kept to wait for an arm that says nothing.
        if name != CAMERA or not self._silent_topics():
            self._inputs[name].signalMessage(message)

    def _forget(self) -> None:
        """Begin with an empty history."""
        with self._lock:
            self._buffer.clear()
            self._expectations.clear()

    def _queried(self, chunk: ActionChunk) -> None:
        """Take actions for forward dynamics; they stay until others come. None at all: the policy's own again."""
        asker = self._asker
        if asker is None:
            return
        try:
            steps = asker.policy.config.model.action_steps
            self._query = action_sequence(chunk, self._settings.pose_frame, steps) if chunk.poses else None
        except MessageError as error:
            self.get_logger().warning(
                f"dropped what came on {self.resolve_topic_name(QUERIES)}: {error}", throttle_duration_sec=2.0
            )

    def _observed(self, image: Image, joints: JointState, pose: PoseStamped) -> None:
        """Take a synchronised image, joint state and pose into the history, and ask for an inference when due."""
        self._matched_s = time.monotonic()
        worker = self._worker
        if worker is None:
            return
        started = time.perf_counter()
        try:
            picture = self._bridge.imgmsg_to_cv2(image, "rgb8")
            matrix, width = pose_matrix(pose, self._settings.pose_frame), gripper_width(joints)
            with self._lock:
                self._buffer.add_pose(stamp_to_seconds(pose.header.stamp), matrix, width)
                added = self._buffer.add_image(stamp_to_seconds(image.header.stamp), picture)
        except (CvBridgeError, ValueError) as error:
            self._problem = DiagnosticStatus.ERROR, f"observation dropped: {error}"
            self.get_logger().warning(self._problem[1], throttle_duration_sec=2.0)
            return
        self._windows["observation"].add((time.perf_counter() - started) * 1e3)
        # A little early is on time: images come at their own rate.
        if added and time.monotonic() - self._last_s > 0.9 / self._settings.rate_hz:
            worker.ask()

    # Inference, in the worker's thread

    def _infer(self, worker: Worker) -> None:
        asker, task = self._asker, self._task
        self._last_s = time.monotonic()
        if asker is None:
            return
        asker.warm_up(task.mode)  # before looking: what the first inference in a mode sees must not be old
        try:
            with self._lock:
                scene = asker.look(task, self._buffer, self._query)
        except ObservationNotReadyError as reason:
            self._problem = DiagnosticStatus.WARN, f"waiting: {reason}"
            self.get_logger().info(self._problem[1], throttle_duration_sec=2.0)
            return
        self._problem = DiagnosticStatus.WARN, "an inference takes long"
        started = time.perf_counter()
        answer = asker.ask(task.mode, scene, self._settings.seed + self._inferences * self._settings.candidates)
        inference_s = time.perf_counter() - started
        publish = self._outputs.prepare(task.mode, answer, inference_s)
        self._inferences += 1

        def give() -> None:
            # The task may have changed meanwhile, and its mode may be one that moves nothing.
            if self._task is not task:
                return
            publish()
            for stage, seconds in {**answer.stage_s, "inference": inference_s}.items():
                self._windows[stage].add(seconds * 1e3)
            self._published()
            # What is expected of the world is only known while the chunk that moves the arm is this node's.
            if answer.video and task.mode is MaskMode.POLICY_PLANNER and not self._settings.planner:
                with self._lock:
                    self._expectations.add(answer.observation.stamp_s, answer.video)

        worker.deliver(give)
        self._compare(worker)

    def _compare(self, worker: Worker) -> None:
        """Tell how far what was seen is from what was predicted, once there is something to compare."""
        with self._lock:
            expected = self._expectations.take_due(self._buffer.newest_s)
            if expected is None:
                return
            try:
                seen = self._buffer.frames_at([expected.due_s])
            except ObservationNotReadyError:  # the camera paused just then
                return
        divergence = expected.divergence(images.to_uint8(seen[0]))
        worker.deliver(functools.partial(self._outputs.publish_divergence, divergence))

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

    # Mode and instruction: parameters, which the services set

    def _wanted_task(self, asker: Asker) -> Task:
        """What the parameters want. Raises ValueError for an instruction that the checkpoint does not know."""
        instruction = self.get_parameter("instruction").value
        return Task(MaskMode(self.get_parameter("mask_mode").value), instruction, asker.text(instruction))

    def _check_task(self, changes: list[Parameter]) -> SetParametersResult:
        """Refuse what the model cannot do, once there is one."""
        asker, reason = self._asker, ""
        try:
            for change in changes:
                if change.name == "mask_mode":
                    mode = MaskMode.parse(change.value)
                    reason = reason or (refusal(asker.policy, mode) if asker else "")
                elif change.name == "instruction" and asker:
                    asker.text(change.value)
        except ValueError as error:
            reason = str(error)
        return SetParametersResult(successful=not reason, reason=reason)

    def _switch_task(self, _changes: list[Parameter]) -> None:
        """Do from the next inference on what the parameters want now."""
        if self._asker is None:
            return
        task = self._wanted_task(self._asker)
        if (task.mode, task.instruction) == (self._task.mode, self._task.instruction):
            return

        def switch() -> None:
            self._task = task
            with self._lock:
                self._expectations.clear()

        if self._worker is None:
            switch()
        else:
            self._worker.deliver(switch)  # not while a chunk is being published
        for window in (*self._windows.values(), self._intervals):
            window.clear()
        self._since_s = self._published_s = time.monotonic()
        self._announce()

    def _announce(self) -> None:
        task, asker = self._task, self._asker
        instruction = f", instruction '{task.instruction}'" if task.instruction else ""
        self.get_logger().info(f"mask mode '{task.mode.value}'{instruction}")
        warning = asker.policy.untrained(task.mode) if asker else None
        if warning:
            self.get_logger().warning(warning)

    def _set_mask_mode(self, request: SetMaskMode.Request, response: SetMaskMode.Response) -> SetMaskMode.Response:
        response.success, response.message = self._set("mask_mode", request.mask_mode)
        return response

    def _set_instruction(
        self, request: SetInstruction.Request, response: SetInstruction.Response
    ) -> SetInstruction.Response:
        response.success, response.message = self._set("instruction", request.instruction)
        return response

    def _set(self, name: str, value: str) -> tuple[bool, str]:
        """Set a parameter; returns whether it was set, and a sentence about it."""
        (result,) = self.set_parameters([Parameter(name, value=value)])
        return result.successful, f"{name.replace('_', ' ')} is '{value}'" if result.successful else result.reason

    # Diagnostics

    @property
    def _patience_s(self) -> float:
        """For how long nothing need be published."""
        return self._settings.observation_timeout_s + 1.0 / self._settings.rate_hz

    def _silent_topics(self) -> list[str]:
        now, limit = time.monotonic(), self._settings.observation_timeout_s
        return [self.resolve_topic_name(name) for name, heard in self._last_input_s.items() if now - heard > limit]

    def _trouble(self) -> tuple[bytes, str] | None:
        """Why the node does not do its work, None if it does, is inactive, or has hardly begun."""
        now, limit = time.monotonic(), self._settings.observation_timeout_s
        silent = self._silent_topics()
        if silent:
            return DiagnosticStatus.ERROR, f"nothing on {', '.join(silent)}"
        if self._worker is None or now - self._published_s <= self._patience_s:
            return None
        if now - self._matched_s > limit:
            return DiagnosticStatus.ERROR, f"no stamps match within {self._settings.sync_slop_s} s"
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
            "mask_mode": self._task.mode.value,
            "inferences": self._inferences,
            "chunks": self._counts.chunks,
            "estimated_chunks": self._counts.estimates,
        }
        if self._task.mode is MaskMode.FORWARD_DYNAMICS:
            values["actions"] = "given" if self._query else "the policy's own"
        if self._task.instruction:
            values["instruction"] = self._task.instruction
        for stage, window in self._windows.items():
            if len(window):
                values[f"{stage}_ms_p50"], values[f"{stage}_ms_p95"] = window.p50, window.p95
        if len(self._intervals):
            late = time.monotonic() - self._published_s > self._patience_s
            values["chunk_rate_hz"] = 0.0 if late or self._worker is None else 1.0 / self._intervals.p50
        level, message = self._trouble() or (DiagnosticStatus.OK, f"mask mode '{self._task.mode.value}'")
        return level, message, values
