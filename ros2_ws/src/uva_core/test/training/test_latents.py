# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest
import torch

from uva_core import images
from uva_core.modes import MaskMode
from uva_core.training.latents import cached_latents, encode_frames
from uva_core.training.recipes import UvaRecipe

RECIPE = UvaRecipe(windows={"policy": 1})


def test_chunks_of_frames_are_encoded_like_frames_by_themselves(tiny_policy, demonstrations):
    latents = encode_frames(tiny_policy, demonstrations.images[:7], chunk=3)
    frames = images.prepare(demonstrations.images[:7], 64, tiny_policy.config.observation.resize)
    with torch.no_grad():
        mean, std = tiny_policy.tokenizer.moments(frames)
    torch.testing.assert_close(latents["mean"], mean, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(latents["std"], std, atol=1e-4, rtol=1e-4)


def test_latents_are_encoded_once_and_again_when_data_or_tokenizer_are_others(
    tmp_path, tiny_policy, demonstrations, make_data
):
    path = tmp_path / "latents.safetensors"
    first = cached_latents(tiny_policy, demonstrations, path)
    stored = path.stat().st_mtime_ns
    again = cached_latents(tiny_policy, demonstrations, path)
    assert path.stat().st_mtime_ns == stored
    assert all(torch.equal(first[name], again[name]) for name in ("mean", "std"))

    pose = demonstrations.pose.copy()
    pose[:, 2, 3] += 0.01
    moved = dataclasses.replace(demonstrations, pose=pose, images=255 - demonstrations.images)
    assert not torch.equal(cached_latents(tiny_policy, moved, path)["mean"], first["mean"])
    other_policy, _ = make_data(RECIPE)
    assert not torch.equal(cached_latents(other_policy, demonstrations, path)["mean"], first["mean"])


def test_a_wrist_camera_is_encoded_where_the_model_sees_one(tmp_path, demonstrations, make_data):
    demonstrations.wrist_images = demonstrations.images[::-1].copy()
    policy, _ = make_data(RECIPE, wrist_history=True)
    latents = cached_latents(policy, demonstrations, tmp_path / "latents.safetensors")
    torch.testing.assert_close(latents["wrist_mean"].flip(0), latents["mean"], atol=1e-4, rtol=1e-4)
    plain, _ = make_data(RECIPE)
    assert set(cached_latents(plain, demonstrations, tmp_path / "latents.safetensors")) == {"mean", "std"}


def test_modes_that_imitate_get_experts_windows_and_actions(make_data):
    policy, data = make_data(RECIPE)
    modes = [MaskMode.POLICY, MaskMode.POLICY_PLANNER, MaskMode.VIDEO, MaskMode.FORWARD_DYNAMICS] * 50
    actions = policy.action_normalizer.unnormalize(data.batch(modes).actions)
    imitate = torch.tensor([mode in (MaskMode.POLICY, MaskMode.POLICY_PLANNER) for mode in modes])
    # The expert moves sideways; windows of steps 20 to 29 are all its own, and full of steps ahead.
    np.testing.assert_allclose(actions[imitate, :, 1].numpy(), 0.001, atol=1e-5)
    np.testing.assert_allclose(actions[imitate, 15, 0].numpy(), 0.16, atol=1e-5)
    np.testing.assert_allclose(actions[~imitate, :, 1].numpy(), 0, atol=1e-5)
    assert actions[~imitate, 15, 0].min() < 0.05  # also where an episode ends


def test_each_use_of_a_frame_is_a_fresh_sample_of_its_posterior(make_data):
    policy, data = make_data(RECIPE)
    data.latents["mean"] = torch.arange(50.0)[:, None, None, None].expand_as(data.latents["mean"]).clone()
    data.latents["std"] = torch.full_like(data.latents["std"], 0.1)
    batch = data.batch([MaskMode.POLICY] * 64)
    values = batch.history / policy.config.tokenizer.scaling_factor
    steps = values.mean(dim=(2, 3, 4)).round()
    assert (steps[:, 3] >= 20).all()
    assert (steps[:, 3] < 30).all()
    assert 0.09 < (values - steps[:, :, None, None, None]).std() < 0.11


def test_a_batch_carries_all_that_the_model_is_given(demonstrations, make_data):
    demonstrations.wrist_images = demonstrations.images[::-1].copy()
    demonstrations.text = np.eye(2, 8)
    policy, data = make_data(
        UvaRecipe(windows={"video": 1}), past_actions=True, wrist_history=True, wrist_future=True, text_dim=8
    )
    batch = data.batch([MaskMode.VIDEO] * 3)
    model = policy.config.model
    frames = (3, model.frames, model.latent_channels, model.latent_size, model.latent_size)
    assert batch.history.shape == batch.wrist_history.shape == batch.wrist_future.shape == frames
    assert batch.past_actions.shape == batch.actions.shape == (3, 16, 10)
    assert batch.past_actions_missing.shape == (3, 16)
    assert batch.text.shape == (3, 8)
    assert batch.proprioception.shape == (3, 4, 10)


@pytest.mark.parametrize("name", ["wrist_history", "wrist_future", "past_actions", "past_actions_missing", "text"])
def test_a_batch_carries_no_more_than_the_model_is_given(make_data, name):
    _, data = make_data(RECIPE)
    assert getattr(data.batch([MaskMode.POLICY]), name) is None


def test_past_actions_are_scaled_like_actions(make_data):
    policy, data = make_data(UvaRecipe(windows={"video": 1}), past_actions=True)
    windows = data.windows
    assert torch.equal(data.past_actions, policy.action_normalizer.normalize(windows.past_actions))
    whole = policy.action_normalizer.unnormalize(data.past_actions[40])
    torch.testing.assert_close(whole, windows.past_actions[40], atol=1e-6, rtol=0)
