# SPDX-License-Identifier: Apache-2.0
"""What each mode looks at and asks, and which models are refused, without a node."""

import dataclasses

import numpy as np
import pytest
import torch

from uva_core import MaskMode
from uva_core.actions import ActionSequence
from uva_core.config import UvaConfig
from uva_core.network.config import ModelConfig
from uva_core.observation.buffer import ObservationNotReadyError
from uva_core.observation.config import ObservationConfig
from uva_core.policy.policy import UvaPolicy
from uva_node_utils.errors import StartupError
from uva_policy_node.inference import Asker, Task
from uva_policy_node.loading import load, refusal, unfit
from uva_policy_node.parameters import PolicyParameters

WANDERING = ActionSequence.from_poses(np.tile(np.eye(4), (16, 1, 1)), np.linspace(0.0, 0.08, 16))


@pytest.fixture
def asker(tiny_policy) -> Asker:
    return Asker(tiny_policy, tiny_policy.config.sampling, candidates=2)


def filled(policy, seconds):
    """A history in which brightness and the pose's x tell the time."""
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
        ("video", 0, 4, {"video"}),
        ("forward_dynamics", 0, 4, {"tokenizer", "transformer", "action_head", "video"}),
        ("inverse_dynamics", 1, 0, {"tokenizer", "transformer", "action_head"}),
        ("policy_planner", 2, 4, {"tokenizer", "video", "action_head"}),
    ],
)
def test_each_mode_answers_with_what_it_decodes(asker, mode, chunks, frames, stages):
    task = Task(MaskMode(mode))
    scene = asker.look(task, filled(asker.policy, 1.0))
    answer = asker.ask(task.mode, scene, seed=3)
    assert len(answer.actions) == chunks
    assert (0 if answer.video is None else len(answer.video.frames)) == frames
    assert set(answer.stage_s) == stages
    again = asker.ask(task.mode, scene, seed=3)
    for one, other in zip(answer.actions, again.actions, strict=True):
        np.testing.assert_array_equal(one.vectors, other.vectors)


def test_each_mode_is_warmed_up_once(asker, monkeypatch):
    asked = []
    monkeypatch.setattr(asker, "ask", lambda mode, *_, **__: asked.append(mode))
    for mode in (*MaskMode, *MaskMode):
        asker.warm_up(mode)
    assert asked == list(MaskMode)


def test_candidates_differ_and_follow_from_their_seeds(asker):
    scene = asker.look(Task(MaskMode.POLICY_PLANNER), filled(asker.policy, 1.0))
    first, second = asker.ask(MaskMode.POLICY_PLANNER, scene, seed=7).actions
    assert np.abs(first.vectors - second.vectors).max() > 1e-3
    np.testing.assert_allclose(
        asker.ask(MaskMode.POLICY_PLANNER, scene, seed=8).actions[0].vectors, second.vectors, atol=1e-6
    )


def test_inverse_dynamics_looks_at_the_past_and_what_was_seen_since(asker):
    buffer = filled(asker.policy, 1.0)
    scene = asker.look(Task(MaskMode.INVERSE_DYNAMICS), buffer)
    assert scene.observation.stamp_s == pytest.approx(100.6)
    assert scene.observation.base_pose[0, 3] == pytest.approx(0.6)
    seen = ((scene.future[:, 0, 0, 0] + 1) * 127.5).round().tolist()
    assert seen == [14, 16, 18, 20]
    with pytest.raises(ObservationNotReadyError, match="not remembered"):
        asker.look(Task(MaskMode.INVERSE_DYNAMICS), filled(asker.policy, 0.35))


def test_forward_dynamics_depends_on_the_query_and_other_modes_do_not(asker):
    buffer = filled(asker.policy, 1.0)
    forward = [asker.look(Task(MaskMode.FORWARD_DYNAMICS), buffer, query) for query in (None, WANDERING)]
    own, queried = (asker.ask(MaskMode.FORWARD_DYNAMICS, scene, seed=0).video.frames for scene in forward)
    assert (own != queried).any()
    for mode in set(MaskMode) - {MaskMode.FORWARD_DYNAMICS}:
        assert asker.look(Task(mode), buffer, WANDERING).query is None


def with_language(config):
    model = dataclasses.replace(config.model, text_dim=8, text_tokens=4)
    policy = UvaPolicy(dataclasses.replace(config, model=model, instructions=("Push it", "pull")))
    policy.instructions.latents.copy_(torch.randn(2, 8))
    return policy


def test_a_model_with_language_waits_for_an_instruction_that_it_knows(tiny_config):
    policy = with_language(tiny_config)
    asker = Asker(policy, policy.config.sampling)
    asker.warm_up(MaskMode.POLICY)
    buffer = filled(policy, 1.0)
    with pytest.raises(ObservationNotReadyError, match="needs an instruction: 'Push it'; 'pull'"):
        asker.look(Task(MaskMode.POLICY), buffer)
    with pytest.raises(ValueError, match="unknown instruction 'throw'; known: 'Push it'; 'pull'"):
        asker.text("throw")
    scene = asker.look(Task(MaskMode.POLICY, "push it", asker.text("push it")), buffer)
    torch.testing.assert_close(scene.observation.text, policy.instructions.latents[0])
    assert len(asker.ask(MaskMode.POLICY, scene, 0).actions) == 1


def test_a_model_without_language_says_so(asker):
    with pytest.raises(ValueError, match="follows no instructions"):
        asker.text("push it")
    assert asker.text("") is None


def test_without_an_action_head_forward_dynamics_waits_for_a_query(tiny_config):
    policy = UvaPolicy(dataclasses.replace(tiny_config, model=dataclasses.replace(tiny_config.model, action_head=None)))
    asker, buffer, task = Asker(policy, policy.config.sampling), filled(policy, 1.0), Task(MaskMode.FORWARD_DYNAMICS)
    asker.warm_up(task.mode)
    with pytest.raises(ObservationNotReadyError, match="some must be given"):
        asker.look(task, buffer)
    assert asker.ask(task.mode, asker.look(task, buffer, WANDERING), 0).video is not None
    assert "no action head: mask mode 'policy' is not possible" in refusal(policy, MaskMode.POLICY)
    assert refusal(policy, MaskMode.VIDEO) == ""


def test_an_untrained_mode_is_refused_where_it_would_move_the_arm(tiny_policy, tiny_config, monkeypatch):
    monkeypatch.setattr(tiny_policy, "config", dataclasses.replace(tiny_config, trained_modes=("video",)))
    refused = {mode.value for mode in MaskMode if refusal(tiny_policy, mode)}
    assert refused == {"policy", "policy_planner"}
    assert "only in: video; its actions would move the arm at random" in refusal(tiny_policy, MaskMode.POLICY)


@pytest.mark.parametrize(
    ("observation", "model", "text"),
    [
        ({"action_space": "vector"}, {"action_dim": 2}, "the 2-D actions of this model are no EEF poses"),
        ({}, {"wrist_history": True}, "wrist camera"),
        ({}, {"wrist_future": True}, "wrist camera"),
        ({"state_space": "vector"}, {"proprioception_dim": 9}, "a robot state of 9 numbers of its own"),
        ({"state_space": "vector"}, {}, ""),
        ({}, {}, ""),
    ],
)
def test_what_the_node_cannot_give_is_said(observation, model, text):
    config = UvaConfig(model=ModelConfig(**model), observation=ObservationConfig(**observation))
    assert text in unfit(config)
    assert bool(text) == bool(unfit(config))


def test_a_model_that_does_not_fit_ends_in_one_line(tiny_config, tmp_path):
    wrist = dataclasses.replace(tiny_config.model, wrist_history=True)
    path = tmp_path / "wrist.safetensors"
    UvaPolicy(dataclasses.replace(tiny_config, model=wrist)).save(path)
    with pytest.raises(StartupError, match="wrist camera"):
        load(PolicyParameters(model=str(path)), MaskMode.POLICY)
