# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest
import torch

from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.data.windows import Windows
from uva_core.training import initial_policy
from uva_core.training.recipes import UvaRecipe

RECIPE = UvaRecipe(normalizer_minimum_range=0.1, windows={"policy": 2, "video": 1})


def test_an_untrained_policy_has_the_tokenizer_and_scales_the_windows_to_one(demonstrations, tiny_config, tiny_policy):
    windows = Windows(demonstrations, tiny_config.model, tiny_config.observation)
    policy = initial_policy.untrained(tiny_config, tiny_policy.tokenizer, windows, RECIPE)
    assert policy.config.trained_modes == ("policy", "video")
    for name, values in tiny_policy.tokenizer.state_dict().items():
        assert torch.equal(policy.tokenizer.state_dict()[name], values)
    x = policy.action_normalizer.normalize(windows.actions)[..., 0]
    assert (x.min().item(), x.max().item()) == pytest.approx((-1, 1))
    width = policy.action_normalizer.normalize(windows.actions)[..., 9]
    assert width.abs().max() < 1e-6, "a constant is not blown up"
    assert policy.proprioception_normalizer.normalize(windows.proprioception)[..., 0].max() == pytest.approx(1)


def test_fine_tuning_keeps_the_checkpoint_but_for_sampling_and_modes(tmp_path, tiny_config, tiny_policy):
    tiny_policy.save(tmp_path / "start.safetensors")
    sampling = dataclasses.replace(tiny_config.sampling, action_steps=7)
    policy = initial_policy.from_checkpoint(
        tmp_path / "start.safetensors", dataclasses.replace(tiny_config, sampling=sampling), RECIPE
    )
    assert policy.config.sampling.action_steps == 7
    assert policy.config.trained_modes == ("policy", "video")
    for name, values in tiny_policy.state_dict().items():
        assert torch.equal(policy.state_dict()[name], values)


def test_a_checkpoint_of_another_model_or_none_is_refused(tmp_path, tiny_config, tiny_policy):
    path = tmp_path / "start.safetensors"
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        initial_policy.from_checkpoint(path, tiny_config, RECIPE)
    tiny_policy.save(path)
    other = dataclasses.replace(tiny_config, model=dataclasses.replace(tiny_config.model, video_head_width=64))
    with pytest.raises(ValueError, match="model.video_head_width 32, not 64"):
        initial_policy.from_checkpoint(path, other, RECIPE)
    observation = dataclasses.replace(tiny_config.observation, action_space="absolute_pose")
    other = dataclasses.replace(tiny_config, observation=observation)
    with pytest.raises(ValueError, match="observation.action_space relative_pose, not absolute_pose"):
        initial_policy.from_checkpoint(path, other, RECIPE)
