# SPDX-License-Identifier: Apache-2.0
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from uva_core.actions import ActionSequence
from uva_core.diffusion.config import SAMPLERS
from uva_core.modes import MaskMode
from uva_core.policy.noise import Noise
from uva_core.policy.policy import UvaPolicy
from uva_core.poses import encode


def test_a_chunk_has_the_times_and_shapes_of_its_configuration(tiny_policy, observation):
    (chunk,) = tiny_policy.predict_actions([observation], [0])
    np.testing.assert_allclose(chunk.time_from_observation_s, np.arange(1, 17) / 10)
    assert chunk.poses.shape == (16, 4, 4)
    assert chunk.gripper_width.shape == (16,)
    rotations = chunk.poses[:, :3, :3]
    np.testing.assert_allclose(rotations @ rotations.swapaxes(1, 2), np.tile(np.eye(3), (16, 1, 1)), atol=1e-6)
    assert set(chunk.stage_s) == {"tokenizer", "transformer", "action_head"}


def test_equal_seeds_give_equal_chunks_whatever_else_is_in_the_batch(tiny_policy, observation, other_observation):
    (alone,) = tiny_policy.predict_actions([observation], [7])
    _, together = tiny_policy.predict_actions([other_observation, observation], [1, 7])
    np.testing.assert_allclose(together.poses, alone.poses, atol=1e-5)
    (another,) = tiny_policy.predict_actions([observation], [8])
    assert np.abs(another.poses - alone.poses).max() > 1e-4


def test_the_policy_never_runs_the_video_head(tiny_policy, observation, monkeypatch):
    monkeypatch.setattr(tiny_policy.model.video_head.net, "forward", None)
    tiny_policy.predict_actions([observation], [0])
    with pytest.raises(TypeError):
        tiny_policy.predict_video([observation], [0])


def test_the_video_model_never_runs_the_action_head(tiny_policy, observation, monkeypatch):
    monkeypatch.setattr(tiny_policy.model.action_head.net, "forward", None)
    (video,) = tiny_policy.predict_video([observation], [0], iterations=3)
    assert video.frames.shape == (4, 64, 64, 3)
    assert video.frames.dtype == np.uint8
    np.testing.assert_allclose(video.time_from_observation_s, [0.4, 0.8, 1.2, 1.6])


def test_an_impossible_number_of_iterations_is_refused(tiny_policy, observation):
    with pytest.raises(ValueError, match="17 generation iterations; choose 1 to 16"):
        tiny_policy.predict_video([observation], [0], iterations=17)


@pytest.mark.parametrize(("temperature", "noisy"), [(0.0, False), (0.95, True)])
def test_without_temperature_no_noise_is_added(tiny_policy, observation, temperature, noisy):
    drawn = []

    class Watched(Noise):
        def rows(self, length, channels, steps):
            drawn.append(steps > 0)
            return super().rows(length, channels, steps)

    sampling = replace(tiny_policy.config.sampling, action_steps=4, action_temperature=temperature)
    tiny_policy.predict_actions([observation], Watched([0]), sampling)
    assert drawn == [noisy]


def test_the_latent_depends_on_the_robot_state(tiny_policy, observation):
    moved = replace(observation, gripper_width=observation.gripper_width + 0.02)
    with torch.no_grad():
        before, after = (tiny_policy.model(tiny_policy.encode([o], Noise([0]))) for o in (observation, moved))
    assert (before - after).abs().max() > 1e-4


def test_a_reconstruction_has_the_tokenizers_size(tiny_policy):
    pictures = np.zeros((2, 128, 128, 3), np.uint8)
    assert tiny_policy.reconstruct(pictures).shape == (2, 64, 64, 3)


def test_weights_saved_in_half_precision_come_back_in_full(tmp_path, tiny_policy):
    tiny_policy.save(tmp_path / "half.safetensors", torch.float16)
    assert all(p.dtype == torch.float32 for p in UvaPolicy.load(tmp_path / "half.safetensors").parameters())


def test_forward_dynamics_looks_different_for_different_actions_and_alike_for_equal_ones(tiny_policy, observation):
    (chunk,) = tiny_policy.predict_actions([observation], [0])
    moved = chunk.vectors + np.eye(10)[0]  # 1 m along x
    other = ActionSequence(moved)
    first, second, third = tiny_policy.predict_forward(observation, [chunk, other, chunk], [4, 4, 4])
    assert (first.frames == third.frames).all()
    assert (first.frames != second.frames).any()
    (alone,) = tiny_policy.predict_forward(observation, [other], [4])
    assert np.abs(alone.frames.astype(int) - second.frames).max() <= 1


def test_scored_frames_alone_are_those_of_the_whole_prediction(tiny_policy, observation):
    (chunk,) = tiny_policy.predict_actions([observation], [0])
    for iterations in (1, 3):
        (whole,) = tiny_policy.predict_forward(observation, [chunk], [4], iterations=iterations)
        (scored,) = tiny_policy.predict_forward(observation, [chunk], [4], iterations=iterations, frames=[3, 1])
        assert np.abs(scored.frames.astype(int) - whole.frames[[1, 3]]).max() <= 1
        np.testing.assert_array_equal(scored.time_from_observation_s, whole.time_from_observation_s[[1, 3]])
    with pytest.raises(ValueError, match=r"frames \[4\]; choose some of 0 to 3"):
        tiny_policy.predict_forward(observation, [chunk], [4], frames=[4])
    with pytest.raises(ValueError, match=r"frames \[3, 3\]; choose some of 0 to 3, each once"):
        tiny_policy.predict_forward(observation, [chunk], [4], frames=[3, 3])


def test_scored_frames_alone_are_sampled_and_decoded(tiny_policy, observation, monkeypatch):
    rows, decoded = [], []
    net, decode = tiny_policy.model.video_head.net.forward, tiny_policy.tokenizer.decode
    monkeypatch.setattr(
        tiny_policy.model.video_head.net, "forward", lambda x, t, c: rows.append(len(x)) or net(x, t, c)
    )
    monkeypatch.setattr(tiny_policy.tokenizer, "decode", lambda x: decoded.append(len(x)) or decode(x))
    candidates = tiny_policy.predict_actions([observation] * 2, [0, 1])
    tiny_policy.predict_forward(observation, candidates, [4, 4], frames=[3])
    assert set(rows) == {2 * tiny_policy.config.model.tokens_per_frame}
    assert decoded == [2]


def test_a_history_that_candidates_share_is_tokenized_once(tiny_policy, observation, monkeypatch):
    encoded = []
    moments = tiny_policy.tokenizer.moments
    monkeypatch.setattr(tiny_policy.tokenizer, "moments", lambda x: encoded.append(len(x)) or moments(x))
    shared = tiny_policy.predict_joint([observation] * 3, [1, 2, 3])
    assert encoded == [4]
    apart = tiny_policy.predict_joint(
        [replace(observation, frames=observation.frames.clone()) for _ in range(3)], [1, 2, 3]
    )
    assert encoded[1:] == [12]
    for one, other in zip(shared, apart, strict=True):
        np.testing.assert_allclose(one.actions.vectors, other.actions.vectors, atol=1e-5)


def test_inverse_dynamics_sees_the_future_frames_and_not_the_history(tiny_policy, observation, other_observation):
    blind = replace(observation, frames=other_observation.frames)
    kwargs = {"futures": [other_observation.frames], "seeds": [1]}
    (chunk,), (same,) = (tiny_policy.predict_inverse([o], **kwargs) for o in (observation, blind))
    np.testing.assert_array_equal(chunk.poses, same.poses)
    (different,) = tiny_policy.predict_inverse([observation], [observation.frames], [1])
    assert np.abs(different.poses - chunk.poses).max() > 1e-6


def test_a_video_streams_and_ends_with_what_the_plain_call_gives(tiny_policy, observation):
    stages = list(tiny_policy.stream_video([observation], [3], iterations=4))
    assert [round(stage[0].share * 16) for stage in stages] == [2, 5, 10, 16]
    (whole,) = tiny_policy.predict_video([observation], [3], iterations=4)
    np.testing.assert_array_equal(stages[-1][0].frames, whole.frames)
    assert (stages[0][0].frames != whole.frames).any()


def test_a_joint_prediction_has_the_frames_of_the_video_model(tiny_policy, observation, other_observation):
    _, joint = tiny_policy.predict_joint([other_observation, observation], [1, 5])
    (video,) = tiny_policy.predict_video([observation], [5])
    # Same noise, same function: only the loss in training differs between the two modes.
    assert np.abs(joint.video.frames.astype(int) - video.frames).max() <= 1
    assert joint.actions.poses.shape == (16, 4, 4)
    assert set(joint.stage_s) == {"tokenizer", "video", "action_head", "decoder"}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_gives_equal_chunks_whatever_else_is_in_the_batch(
    tiny_policy, observation, other_observation, sampler
):
    sampling = replace(tiny_policy.config.sampling, sampler=sampler, action_steps=5)
    (alone,) = tiny_policy.predict_actions([observation], [7], sampling)
    _, together = tiny_policy.predict_actions([other_observation, observation], [1, 7], sampling)
    np.testing.assert_allclose(together.vectors, alone.vectors, atol=1e-5)


def test_a_mode_that_was_never_trained_warns_once_and_says_so(tiny_config, observation):
    policy = UvaPolicy(replace(tiny_config, trained_modes=("policy", "policy_planner")))
    with pytest.warns(UserWarning, match="never trained in mask mode 'video', only in: policy, policy_planner"):
        policy.predict_video([observation], [0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy.predict_video([observation], [0])
        policy.predict_actions([observation], [0])
    assert policy.untrained(MaskMode.POLICY) is None


def test_a_checkpoint_without_an_action_head_predicts_video_only(tiny_config, observation):
    policy = UvaPolicy(replace(tiny_config, model=replace(tiny_config.model, action_head=None)))
    assert len(policy.predict_video([observation], [0])) == 1
    with pytest.raises(ValueError, match="no action head: mask mode 'policy' is not possible"):
        policy.predict_actions([observation], [0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": torch.zeros(4, 3, 32, 32)}, r"frames of shape \(4, 3, 64, 64\), got \(4, 3, 32, 32\)"),
        ({"eef_pose": np.tile(np.eye(4), (3, 1, 1)), "gripper_width": np.zeros(3)}, r"state of shape \(4, 10\)"),
    ],
)
def test_an_observation_of_another_shape_is_refused_in_one_line(tiny_policy, observation, change, message):
    with pytest.raises(ValueError, match=message):
        tiny_policy.predict_actions([replace(observation, **change)], [0])


def test_actions_of_another_length_cannot_be_rolled_out(tiny_policy, observation):
    with pytest.raises(ValueError, match=r"actions of shape \(16, 10\), got \(3, 10\)"):
        tiny_policy.predict_forward(observation, [ActionSequence(np.zeros((3, 10)))], [0])
    with pytest.raises(ValueError, match="no candidates"):
        tiny_policy.predict_forward(observation, [], [])


def test_actions_that_are_no_poses_say_so():
    with pytest.raises(ValueError, match="2-D actions are no EEF poses"):
        _ = ActionSequence(np.zeros((16, 2))).poses


@pytest.fixture(scope="module")
def full_policy(tiny_config) -> UvaPolicy:
    """Everything at once: wrist camera, past actions, a state that is no pose, and instructions."""
    model = replace(
        tiny_config.model,
        past_actions=True,
        wrist_history=True,
        wrist_future=True,
        proprioception_dim=9,
        proprioception_steps=16,
        proprioception_target_dim=9,
        text_dim=8,
        text_tokens=4,
    )
    observation = replace(tiny_config.observation, state_space="vector", action_space="absolute_pose")
    config = replace(tiny_config, model=model, observation=observation, instructions=("fold the towel", "stop"))
    torch.manual_seed(0)
    policy = UvaPolicy(config)
    policy.instructions.latents.copy_(torch.randn(2, 8))
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return policy


def test_a_model_with_every_input_does_all_five_jobs_and_comes_back_from_its_file(full_policy, observation, tmp_path):
    full_policy.save(tmp_path / "full.safetensors")
    policy = UvaPolicy.load(tmp_path / "full.safetensors")
    rng = np.random.default_rng(0)
    full = replace(
        observation,
        wrist_frames=observation.frames.flip(0),
        state=rng.normal(size=(16, 9)),
        past_actions=encode(np.tile(np.eye(4), (16, 1, 1)), np.zeros(16)),
        text=policy.instructions.latent("Fold the towel "),
    )
    (chunk,) = policy.predict_actions([full], [0])
    (video,) = policy.predict_video([full], [0])
    assert video.wrist_frames is not None
    assert video.wrist_frames.shape == video.frames.shape
    (forward,) = policy.predict_forward(full, [chunk], [0])
    (inverse,) = policy.predict_inverse([full], [full.frames], [0], wrist_futures=[full.frames])
    (joint,) = policy.predict_joint([full], [0])
    assert forward.frames.shape == joint.video.frames.shape
    assert inverse.vectors.shape == joint.actions.vectors.shape == (16, 10)
    for name in ("wrist_frames", "state", "text"):
        with pytest.raises(ValueError, match=f"observations with `{name}`"):
            policy.predict_actions([replace(full, **{name: None})], [0])
    told = {"text": policy.instructions.latent("stop"), "past_actions": None, "state": full.state + 1}
    for name, value in told.items():
        (other,) = policy.predict_actions([replace(full, **{name: value})], [0])
        assert np.abs(other.vectors - chunk.vectors).max() > 1e-6, name


def test_an_unknown_instruction_is_answered_with_the_known_ones(full_policy):
    with pytest.raises(ValueError, match="unknown instruction 'dance'; known: 'fold the towel'; 'stop'"):
        full_policy.instructions.latent("dance")
