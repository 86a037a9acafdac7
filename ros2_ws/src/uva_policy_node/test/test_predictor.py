# SPDX-License-Identifier: Apache-2.0
"""What each mode gives to the model and gets from it, without a node."""

import dataclasses

import numpy as np
import pytest
import torch

from uva_core import MaskMode
from uva_core.actions import ActionSequence
from uva_core.observation.buffer import ObservationNotReadyError
from uva_core.policy.policy import UvaPolicy
from uva_policy_node.predictor import Predictor, Task

WANDERING = ActionSequence.from_poses(np.tile(np.eye(4), (16, 1, 1)), np.linspace(0.0, 0.08, 16))


@pytest.fixture
def predictor(tiny_policy) -> Predictor:
    return Predictor(tiny_policy, tiny_policy.config.sampling, candidates=2)


def filled(policy, seconds):
    """Return a history in which brightness and the pose's x tell the time."""
    buffer = policy.make_buffer()
    for i in range(round(seconds * 20) + 1):
        pose = np.eye(4)
        pose[0, 3] = i / 20
        buffer.add_pose(100 + i / 20, pose, 0.03)
        buffer.add_image(100 + i / 20, np.full((8, 8, 3), i, np.uint8))
    return buffer


@pytest.mark.parametrize(
    ("mode", "chunks", "frames", "stages"),
    [
        ("policy", 1, 0, {"tokenizer", "transformer", "action_head"}),
        ("video", 0, 4, {"tokenizer", "video", "decoder"}),
        ("forward_dynamics", 0, 4, {"tokenizer", "transformer", "action_head", "video", "decoder"}),
        ("inverse_dynamics", 1, 0, {"tokenizer", "transformer", "action_head"}),
        ("policy_planner", 2, 4, {"tokenizer", "video", "action_head", "decoder"}),
    ],
)
def test_each_mode_returns_what_it_decodes(predictor, mode, chunks, frames, stages):
    task = Task(MaskMode(mode))
    inputs = predictor.inputs(task, filled(predictor.policy, 1.0))
    result = predictor.predict(task.mode, inputs, seed=3)
    assert len(result.actions) == chunks
    assert (0 if result.video is None else len(result.video.frames)) == frames
    assert set(result.stage_s) == stages
    again = predictor.predict(task.mode, inputs, seed=3)
    for one, other in zip(result.actions, again.actions, strict=True):
        np.testing.assert_array_equal(one.vectors, other.vectors)


def test_each_mode_is_warmed_up_once(predictor, monkeypatch):
    ran = []
    monkeypatch.setattr(predictor, "predict", lambda mode, *_, **__: ran.append(mode))
    for mode in (*MaskMode, *MaskMode):
        predictor.warm_up(mode)
    assert ran == list(MaskMode)


def test_candidates_differ_and_follow_from_their_seeds(predictor):
    inputs = predictor.inputs(Task(MaskMode.POLICY_PLANNER), filled(predictor.policy, 1.0))
    first, second = predictor.predict(MaskMode.POLICY_PLANNER, inputs, seed=7).actions
    assert np.abs(first.vectors - second.vectors).max() > 1e-3
    np.testing.assert_allclose(
        predictor.predict(MaskMode.POLICY_PLANNER, inputs, seed=8).actions[0].vectors, second.vectors, atol=1e-6
    )


def test_inverse_dynamics_takes_a_past_observation_and_the_frames_seen_since(predictor):
    buffer = filled(predictor.policy, 1.0)
    inputs = predictor.inputs(Task(MaskMode.INVERSE_DYNAMICS), buffer)
    assert inputs.observation.stamp_s == pytest.approx(100.6)
    assert inputs.observation.base_pose[0, 3] == pytest.approx(0.6)
    seen = ((inputs.future[:, 0, 0, 0] + 1) * 127.5).round().tolist()
    assert seen == [14, 16, 18, 20]
    with pytest.raises(ObservationNotReadyError, match="not remembered"):
        predictor.inputs(Task(MaskMode.INVERSE_DYNAMICS), filled(predictor.policy, 0.35))


def test_forward_dynamics_depends_on_the_query_and_other_modes_do_not(predictor):
    buffer = filled(predictor.policy, 1.0)
    forward = [predictor.inputs(Task(MaskMode.FORWARD_DYNAMICS), buffer, query) for query in (None, WANDERING)]
    own, queried = (predictor.predict(MaskMode.FORWARD_DYNAMICS, inputs, seed=0).video.frames for inputs in forward)
    assert (own != queried).any()
    for mode in set(MaskMode) - {MaskMode.FORWARD_DYNAMICS}:
        assert predictor.inputs(Task(mode), buffer, WANDERING).query is None


def with_language(config):
    model = dataclasses.replace(config.model, text_dim=8, text_tokens=4)
    policy = UvaPolicy(dataclasses.replace(config, model=model, instructions=("Push it", "pull")))
    policy.instructions.latents.copy_(torch.randn(2, 8))
    return policy


def test_a_model_with_language_waits_for_an_instruction_that_it_knows(tiny_config):
    policy = with_language(tiny_config)
    predictor = Predictor(policy, policy.config.sampling)
    predictor.warm_up(MaskMode.POLICY)
    buffer = filled(policy, 1.0)
    with pytest.raises(ObservationNotReadyError, match="needs an instruction: 'Push it'; 'pull'"):
        predictor.inputs(Task(MaskMode.POLICY), buffer)
    with pytest.raises(ValueError, match="unknown instruction 'throw'; known: 'Push it'; 'pull'"):
        predictor.text("throw")
    inputs = predictor.inputs(Task(MaskMode.POLICY, "push it", predictor.text("push it")), buffer)
    torch.testing.assert_close(inputs.observation.text, policy.instructions.latents[0])
    assert len(predictor.predict(MaskMode.POLICY, inputs, 0).actions) == 1


def test_a_model_without_language_says_so(predictor):
    with pytest.raises(ValueError, match="follows no instructions"):
        predictor.text("push it")
    assert predictor.text("") is None


def test_without_an_action_head_forward_dynamics_waits_for_a_query(tiny_config):
    policy = UvaPolicy(dataclasses.replace(tiny_config, model=dataclasses.replace(tiny_config.model, action_head=None)))
    predictor, buffer, task = (
        Predictor(policy, policy.config.sampling),
        filled(policy, 1.0),
        Task(MaskMode.FORWARD_DYNAMICS),
    )
    predictor.warm_up(task.mode)
    with pytest.raises(ObservationNotReadyError, match="publish some on uva/query_chunk"):
        predictor.inputs(task, buffer)
    assert predictor.predict(task.mode, predictor.inputs(task, buffer, WANDERING), 0).video is not None
