# SPDX-License-Identifier: Apache-2.0
"""Load the model, and refuse one that the node or a mask mode cannot use. No ROS in here."""

from __future__ import annotations

from dataclasses import replace

from uva_core import MaskMode
from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.config import UvaConfig
from uva_core.policy.policy import UvaPolicy
from uva_node_utils.errors import StartupError
from uva_policy_node.parameters import PolicyParameters
from uva_policy_node.predictor import Predictor

MOVING = (MaskMode.POLICY, MaskMode.POLICY_PLANNER)
"""The modes whose actions are executed."""


def load(p: PolicyParameters, mode: MaskMode) -> Predictor:
    """Load the checkpoint that the parameters name, and run it once in `mode`.

    Raises:
        StartupError: there is no such checkpoint, or it does not suit the node, the mode or a parameter.
    """
    if not p.model:
        raise StartupError(
            "parameter 'model' is empty: give the path of a checkpoint, e.g. model:=uva_tiny.safetensors"
        )
    try:
        policy = UvaPolicy.load(p.model)
    except CheckpointError as error:
        raise StartupError(str(error)) from None
    reason = unfit(policy.config) or refusal(policy, mode)
    if reason:
        raise StartupError(reason)
    tokens = policy.config.model.tokens_per_frame
    if p.video_iterations > tokens:
        raise StartupError(
            f"parameter 'video_iterations' is {p.video_iterations}, but this model has {tokens} tokens per frame"
        )
    sampling = policy.config.sampling
    try:
        sampling = replace(
            sampling,
            action_steps=p.denoising_steps or sampling.action_steps,
            action_temperature=p.temperature if p.temperature >= 0 else sampling.action_temperature,
        )
        predictor = Predictor(policy, sampling, video_iterations=p.video_iterations, candidates=p.candidates)
        predictor.warm_up(mode)
    except ValueError as error:
        raise StartupError(
            f"the model cannot run with denoising_steps={p.denoising_steps}, temperature={p.temperature}: {error}"
        ) from None
    return predictor


def unfit(config: UvaConfig) -> str:
    """Return what the model needs or predicts that this node does not support, "" if nothing."""
    if config.observation.action_space == "vector":
        return f"the {config.model.action_dim}-D actions of this model are no EEF poses: a chunk cannot hold them"
    if config.model.wrist_history or config.model.wrist_future:
        return "this model needs a wrist camera as well: the node has one camera"
    if config.model.proprioception_dim and config.observation.state_space == "vector":
        return (
            f"this model takes a robot state of {config.model.proprioception_dim} numbers of its own: "
            "the node has EEF pose and gripper width"
        )
    return ""


def refusal(policy: UvaPolicy, mode: MaskMode) -> str:
    """Return why the model must not run in this mode, "" if it may."""
    if reason := policy.impossible(mode):
        return reason
    warning = policy.untrained(mode)
    return f"{warning}; its actions would move the arm at random" if warning and mode in MOVING else ""
