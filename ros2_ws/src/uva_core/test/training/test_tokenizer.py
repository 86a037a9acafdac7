# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest
import torch

from uva_core import images
from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.serialization import to_dict
from uva_core.training import tokenizer as training
from uva_core.training.recipes import TokenizerRecipe

RECIPE = TokenizerRecipe(steps=4, batch_size=4, warmup_steps=0)


@pytest.fixture
def frames(tiny_config, demonstrations):
    return training.prepared_frames(demonstrations.images, tiny_config, chunk=20)


def test_frames_are_prepared_as_for_the_policy(frames, tiny_config, demonstrations):
    assert frames.shape == (50, 3, 64, 64)
    as_in_policy = images.prepare(demonstrations.images, 64, tiny_config.observation.resize)
    torch.testing.assert_close(training.to_float(frames), as_in_policy, atol=1 / 127.5, rtol=0)


def test_pixels_that_differ_from_the_median_image_weigh_more():
    recipe = TokenizerRecipe(foreground_weight=6.0, l1_weight=0.0)
    median = torch.zeros(3, 2, 2)
    target = torch.zeros(1, 3, 2, 2)
    target[..., 0, 0] = 1.0
    background, foreground = target.clone(), target.clone()
    background[..., 1, 1] += 0.1
    foreground[..., 0, 0] += 0.1
    losses = [training.reconstruction_loss(recipe, target, output, median) for output in (background, foreground)]
    assert losses[1] / losses[0] == pytest.approx(7.0, rel=1e-4)


def test_a_seed_trains_the_same_tokenizer_again_and_its_latents_have_unit_variance(frames, tiny_config):
    first, second = (training.train(tiny_config, RECIPE, frames, seed=3) for _ in range(2))
    for name, values in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], values), name
    scaled = training.fit_scaling(first, frames)
    with torch.no_grad():
        latents = scaled.encode(training.to_float(frames))
    assert latents.std().item() == pytest.approx(1.0, rel=1e-3)
    assert np.isfinite(training.held_out_psnr(scaled, frames))


@pytest.fixture
def command(monkeypatch, tmp_path, tiny_config):
    config = dataclasses.replace(tiny_config, trained_modes=())
    preset = {"config": to_dict(config), "tokenizer_training": dataclasses.asdict(RECIPE)}
    monkeypatch.setattr(training.presets, "load", lambda name: preset)

    def command(data, *arguments):
        monkeypatch.setattr("sys.argv", ["tokenizer", "--data", str(data), "--out", str(tmp_path / "run"), *arguments])
        training.main()
        return tmp_path / "run"

    return command


def test_the_command_writes_a_tokenizer_that_training_loads(command, umi_zarr_path, capsys):
    folder = command(umi_zarr_path)
    assert training.load(folder).config.scaling_factor != 1.0
    assert "held-out frames" in capsys.readouterr().out


def test_data_that_cannot_train_it_is_refused_in_one_line(command, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        command(tmp_path / "nothing.zarr")
    assert stop.value.code == 2
    assert "no demonstrations at" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command(tmp_path / "nothing.zarr", "--steps", "0")
    assert "nothing to train: 0 steps of 4 frames" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        training.load(tmp_path)


def test_too_few_frames_to_hold_one_out_are_refused(command, monkeypatch, demonstrations, capsys):
    def read(path):
        return dataclasses.replace(
            demonstrations,
            **{name: getattr(demonstrations, name)[:20] for name in ("images", "pose", "gripper_width", "actions")},
            expert_actions=demonstrations.expert_actions[:20],
            is_expert=demonstrations.is_expert[:20],
            episode_ends=np.array([20]),
        )

    monkeypatch.setattr(training.umi_zarr, "read", read)
    with pytest.raises(SystemExit):
        command("short.zarr")
    assert "short.zarr has 20 frames: too few, one in 50 is held out" in capsys.readouterr().err
