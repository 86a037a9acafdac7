# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest

from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import to_dict
from uva_core.training import uva
from uva_core.training.trainer import POLICY_FILE


@pytest.fixture
def preset(monkeypatch, tiny_config):
    """The only preset there is; may be changed."""
    preset = {
        "config": to_dict(dataclasses.replace(tiny_config, trained_modes=())),
        "training": {"steps": 1000, "windows": {"policy": 2, "video": 2}},
        "fine_tuning": {"steps": 2, "learning_rate": 1e-4, "warmup_steps": 0},
    }
    monkeypatch.setattr(uva.presets, "load", lambda name: preset)
    return preset


@pytest.fixture
def command(monkeypatch):
    def command(*arguments):
        monkeypatch.setattr("sys.argv", ["uva", "--precision", "no", *map(str, arguments)])
        uva.main()

    return command


def test_fine_tuning_starts_from_a_checkpoint_and_keeps_its_tokenizer(
    tmp_path, tiny_policy, umi_zarr_path, preset, command, capsys
):
    start, out = tmp_path / "start.safetensors", tmp_path / "run"
    arguments = ["--data", umi_zarr_path, umi_zarr_path, "--init", start, "--out", out]
    tiny_policy.save(start)
    command(*arguments)

    tuned = UvaPolicy.load(out / POLICY_FILE)
    assert tuned.config.trained_modes == ("policy", "video")
    before, after = tiny_policy.state_dict(), tuned.state_dict()
    half = {name: tensor.half().float() for name, tensor in before.items()}  # as weights are saved
    frozen = [name for name in before if "normalizer" in name or name.startswith("tokenizer")]
    assert all((after[n] == (before if "normalizer" in n else half)[n]).all() for n in frozen)
    changes = {n: (after[n] - half[n]).abs().max().item() for n in before if n not in frozen}
    assert 0 < max(changes.values()) < 1e-3, "two small steps away"

    preset["config"]["model"]["video_head_width"] *= 2
    with pytest.raises(SystemExit):
        command(*arguments)
    assert "model.video_head_width 32, not 64" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ({}, ["--data", "nothing.zarr"], "no demonstrations at nothing.zarr"),
        ({}, [], "no checkpoint at"),
        ({"wrist_history": True}, [], "the model sees a wrist camera, and the data has no frames of one"),
        ({}, ["--save-every", "0"], "save_every 0 and stop_at None must be 1 or more steps"),
        ({}, ["--steps", "0", "--init", "START"], "nothing to train: 0 steps"),
        ({}, ["--init", "nothing.safetensors"], "no checkpoint at nothing.safetensors"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(
    tmp_path, tiny_policy, umi_zarr_path, preset, command, capsys, model, arguments, message
):
    start = tmp_path / "start.safetensors"
    tiny_policy.save(start)
    arguments = [start if argument == "START" else argument for argument in arguments]
    preset["config"]["model"] |= model
    with pytest.raises(SystemExit) as stop:
        command("--data", umi_zarr_path, "--out", tmp_path / "run", *arguments)
    assert stop.value.code == 2
    *progress, line = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not any("Traceback" in other for other in progress)
