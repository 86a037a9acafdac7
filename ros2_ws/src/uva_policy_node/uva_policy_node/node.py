# SPDX-License-Identifier: Apache-2.0
"""The policy node: its life cycle, and its task as parameters and services."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from uva_core import MaskMode
from uva_msgs.srv import SetInstruction, SetMaskMode
from uva_node_utils import topics
from uva_node_utils.diagnostics import DiagnosticsPublisher, Report
from uva_node_utils.lifecycle import AutostartLifecycleNode, StartupError
from uva_node_utils.parameters import declare
from uva_node_utils.timers import steady_timer
from uva_policy_node.health import Health
from uva_policy_node.inference import Inference
from uva_policy_node.inputs import Inputs
from uva_policy_node.loading import load, refusal
from uva_policy_node.outputs import Counts, Outputs
from uva_policy_node.parameters import PolicyParameters
from uva_policy_node.predictor import Predictor, Task

# How long activation and the end of the process wait for the last inference.
ACTIVATE_WAIT_S, EXIT_WAIT_S = 0.5, 5.0


class UvaPolicyNode(AutostartLifecycleNode):
    """Run a UVA model at a steady rate in one of its mask modes, which may change at any time."""

    def __init__(self, **kwargs: Any) -> None:
        """Declare the parameters; everything else waits for on_configure."""
        super().__init__("uva_policy_node", **kwargs)
        self._settings = declare(self, PolicyParameters)
        self.add_on_set_parameters_callback(self._check_task)
        self.add_post_set_parameters_callback(self._switch_task)
        self._health, self._counts = Health(self.get_logger(), self._settings), Counts()
        self._inference: Inference | None = None  # while configured
        self._last_started: Inference | None = None
        self._resources = contextlib.ExitStack()

    # Life cycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model, warm it up, and connect."""
        p = self._settings
        torch.set_num_threads(p.threads)
        predictor = load(p, MaskMode(self.get_parameter("mask_mode").value))
        try:
            task = self._wanted_task(predictor)
        except ValueError as error:
            raise StartupError(str(error)) from None
        policy = predictor.policy
        outputs = Outputs(
            self._publisher, self._counts, policy.config.observation, frame=p.pose_frame, planner=p.planner
        )
        self._inference = Inference(predictor, task, outputs, self._counts, self._health, p)
        self._inputs = Inputs(self, self._inference, self._health, p)
        self._resources.callback(self._inputs.close)
        for kind, name, callback in (
            (SetMaskMode, topics.SET_MASK_MODE, self._set_mask_mode),
            (SetInstruction, topics.SET_INSTRUCTION, self._set_instruction),
        ):
            self._resources.callback(self.destroy_service, self.create_service(kind, name, callback))
        self._health.begin()
        self._resources.callback(DiagnosticsPublisher(self, "inference", self.report).destroy)
        complaints = steady_timer(self, p.observation_timeout_s, self._complain)
        self._resources.callback(self.destroy_timer, complaints)
        self.get_logger().info(
            f"loaded {p.model} ({sum(t.numel() for t in policy.parameters()) / 1e6:.1f} M parameters)"
        )
        self._announce(self._inference)
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin with an empty history."""
        if self._last_started is not None and not self._last_started.join(ACTIVATE_WAIT_S):
            raise StartupError("the last inference before the deactivation is still running: activate again later")
        self._health.begin()
        self._last_started = self._inference
        self._inference.start()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the inference. A result that is not published yet is thrown away."""
        self._inference.stop()
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
        if self._last_started is not None:
            self._last_started.join(EXIT_WAIT_S)
        super().destroy_node()

    def _release(self) -> None:
        if self._inference is not None:
            self._inference.stop()
        self._resources.close()
        self._inference = None  # a thread that still runs has its own reference

    def _publisher(self, kind: Any, topic: str) -> Any:
        publisher = self.create_publisher(kind, topic, 10)
        self._resources.callback(self.destroy_publisher, publisher)
        return publisher

    # Task: two parameters, which may also be set by services

    def _wanted_task(self, predictor: Predictor) -> Task:
        """Return the task of the parameters. Raises ValueError for an instruction that the model does not know."""
        instruction = self.get_parameter("instruction").value
        return Task(MaskMode(self.get_parameter("mask_mode").value), instruction, predictor.text(instruction))

    def _check_task(self, changes: list[Parameter]) -> SetParametersResult:
        """Refuse what the model cannot do, once there is one."""
        predictor, reason = self._inference.predictor if self._inference else None, ""
        try:
            for change in changes:
                if change.name == "mask_mode":
                    mode = MaskMode.parse(change.value)
                    reason = reason or (refusal(predictor.policy, mode) if predictor else "")
                elif change.name == "instruction" and predictor:
                    predictor.text(change.value)
        except ValueError as error:
            reason = str(error)
        return SetParametersResult(successful=not reason, reason=reason)

    def _switch_task(self, _changes: list[Parameter]) -> None:
        """Follow the parameters from the next inference on."""
        inference = self._inference
        if inference is None:
            return
        task = self._wanted_task(inference.predictor)
        if (task.mode, task.instruction) == (inference.task.mode, inference.task.instruction):
            return
        inference.switch(task)
        self._health.switch_task()
        self._announce(inference)

    def _announce(self, inference: Inference) -> None:
        task = inference.task
        instruction = f", instruction '{task.instruction}'" if task.instruction else ""
        self.get_logger().info(f"mask mode '{task.mode.value}'{instruction}")
        if warning := inference.predictor.policy.untrained(task.mode):
            self.get_logger().warning(warning)

    def _set_mask_mode(self, request: SetMaskMode.Request, response: SetMaskMode.Response) -> SetMaskMode.Response:
        return self._set("mask_mode", request.mask_mode, response)

    def _set_instruction(
        self, request: SetInstruction.Request, response: SetInstruction.Response
    ) -> SetInstruction.Response:
        return self._set("instruction", request.instruction, response)

    def _set(self, name: str, value: str, response: Any) -> Any:
        """Set a parameter, and fill in whether it was set, and a sentence about it."""
        (result,) = self.set_parameters([Parameter(name, value=value)])
        response.success = result.successful
        response.message = f"{name.replace('_', ' ')} is '{value}'" if result.successful else result.reason
        return response

    # Diagnostics

    def _complain(self) -> None:
        if self._inference.running:
            self._health.complain(self._inputs.silent_topics())

    def report(self) -> Report:
        """Return level, message and values for diagnostics. The node must be configured."""
        task = self._inference.task
        values = {
            "mask_mode": task.mode.value,
            "inferences": self._counts.inferences,
            "chunks": self._counts.chunks,
            "estimated_chunks": self._counts.estimates,
        }
        if task.mode is MaskMode.FORWARD_DYNAMICS:
            values["actions"] = "given" if self._inference.query else "the policy's own"
        if task.instruction:
            values["instruction"] = task.instruction
        return self._health.report(values, self._inputs.silent_topics(), active=self._inference.running)
