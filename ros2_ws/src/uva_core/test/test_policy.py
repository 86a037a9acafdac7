# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest
import torch

import uva_core.policy
from uva_core.policy import ActionSequence, UvaPolicy
from uva_core.sampling import Noise


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
def test_without_temperature_no_noise_is_added(tiny_policy, observation, monkeypatch, temperature, noisy):
    given = []
    original = uva_core.policy.sample_actions

    def spy(model, z, scheduler, noise, step_noise, temperature):
        given.append(step_noise is not None)
        return original(model, z, scheduler, noise, step_noise, temperature)

    monkeypatch.setattr(uva_core.policy, "sample_actions", spy)
    sampling = replace(tiny_policy.config.sampling, action_steps=4, action_temperature=temperature)
    tiny_policy.predict_actions([observation], [0], sampling)
    assert given == [noisy]


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
    other = ActionSequence(chunk.poses + 0.1 * np.eye(4)[[0, 0, 0, 3]].T * [[0, 0, 0, 1]], chunk.gripper_width)
    first, second, third = tiny_policy.predict_forward(observation, [chunk, other, chunk], [4, 4, 4])
    assert (first.frames == third.frames).all()
    assert (first.frames != second.frames).any()
    (alone,) = tiny_policy.predict_forward(observation, [other], [4])
    assert np.abs(alone.frames.astype(int) - second.frames).max() <= 1


def test_inverse_dynamics_sees_the_future_frames_and_not_the_history(tiny_policy, observation, other_observation):
    blind = replace(observation, frames=other_observation.frames)
    kwargs = {"futures": [other_observation.frames], "seeds": [1]}
    (chunk,), (same,) = (tiny_policy.predict_inverse([o], **kwargs) for o in (observation, blind))
    np.testing.assert_array_equal(chunk.poses, same.poses)
    (different,) = tiny_policy.predict_inverse([observation], [observation.frames], [1])
    assert np.abs(different.poses - chunk.poses).max() > 1e-6
