# SPDX-License-Identifier: Apache-2.0
"""Data on disk to a trained policy, at toy size."""

import argparse
import dataclasses

import numpy as np
import pytest
import torch
import zarr

from uva_core import images
from uva_core.data.readers.umi_zarr import UMI_RATE_HZ, ReplayBuffer
from uva_core.data.windows import Windows
from uva_core.modes import MaskMode
from uva_core.observation.buffer import ObservationBuffer
from uva_core.observation.observation import proprioception
from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import to_dict
from uva_core.training import uva as uva_training
from uva_core.training.recipes import UvaRecipe

LENGTHS = (20, 30)


def empty_store(path):
    """Format 2, as UMI's; Zarr's own word for it changes from one version of the library to the next."""
    path.mkdir()
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    return zarr.open_group(str(path), mode="r+")


@pytest.fixture(scope="module")
def buffer_path(tmp_path_factory):
    """Two episodes in which x grows by 1 cm a step; the last five steps of each are not an expert's."""
    path = tmp_path_factory.mktemp("data") / "toy.zarr"
    root = empty_store(path)
    steps = sum(LENGTHS)
    within = np.concatenate([np.arange(n) for n in LENGTHS])
    position = np.stack([0.01 * within, np.zeros(steps), np.full(steps, 0.05)], axis=1).astype(np.float32)
    action = np.concatenate([position + [0.01, 0, 0], np.zeros((steps, 3)), np.full((steps, 1), 0.02)], axis=1)
    arrays = {
        "camera0_rgb": np.random.default_rng(0).integers(0, 255, (steps, 64, 64, 3), dtype=np.uint8),
        "robot0_eef_pos": position,
        "robot0_eef_rot_axis_angle": np.zeros((steps, 3), np.float32),
        "robot0_gripper_width": np.full((steps, 1), 0.02, np.float32),
        "robot0_demo_start_pose": np.zeros((steps, 6), np.float32),
        "action": action.astype(np.float32),
        "expert_action": (action + [0, 0.001, 0, 0, 0, 0, 0]).astype(np.float32),
        "is_expert": np.concatenate([np.arange(n) < n - 5 for n in LENGTHS]),
    }
    for name, values in arrays.items():
        root[f"data/{name}"] = values
    root["meta/episode_ends"] = np.cumsum(LENGTHS)
    root.attrs["rate_hz"] = 10.0
    return path


@pytest.fixture(scope="module")
def windows(buffer_path, tiny_config):
    return Windows(ReplayBuffer(buffer_path), tiny_config.model, tiny_config.observation)


def test_history_and_future_stay_in_their_episode(windows):
    assert windows.history[25].tolist() == [20, 20, 21, 25]
    assert windows.future[25].tolist() == [29, 33, 37, 41]
    assert windows.future[15].tolist() == [19, 19, 19, 19]


def test_actions_are_relative_to_the_pose_at_the_window(windows):
    np.testing.assert_allclose(windows.actions[2, :, 0].numpy(), 0.01 * np.arange(1, 17), atol=1e-6)
    np.testing.assert_allclose(windows.expert_actions[2, :, 1].numpy(), 0.001, atol=1e-6)


def test_only_windows_full_of_expert_actions_are_imitable(windows):
    assert windows.imitable.tolist() == list(range(20, 30))


def test_proprioception_is_the_history_of_the_pose(windows):
    np.testing.assert_allclose(windows.proprioception[14, :, 0].numpy(), [0.02, 0.06, 0.1, 0.14], atol=1e-6)


def test_data_without_actions_takes_the_next_pose_for_the_action(buffer_path, tiny_config, tmp_path):
    plain = empty_store(tmp_path / "plain.zarr")
    source = zarr.open_group(str(buffer_path), mode="r")
    for key in ("camera0_rgb", "robot0_eef_pos", "robot0_eef_rot_axis_angle", "robot0_gripper_width"):
        plain[f"data/{key}"] = source[f"data/{key}"][:]
    plain["meta/episode_ends"] = source["meta/episode_ends"][:]
    assert ReplayBuffer(tmp_path / "plain.zarr").rate_hz == UMI_RATE_HZ
    buffer = ReplayBuffer(tmp_path / "plain.zarr")
    assert buffer.action_pose[3, 0, 3] == pytest.approx(0.04)
    assert buffer.action_pose[19, 0, 3] == pytest.approx(0.19)
    assert buffer.is_expert.all()


def test_a_folder_that_is_no_replay_buffer_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="make one with"):
        ReplayBuffer(tmp_path / "nothing.zarr")
    empty_store(tmp_path / "empty.zarr")
    with pytest.raises(ValueError, match="camera0_rgb, robot0_eef_pos"):
        ReplayBuffer(tmp_path / "empty.zarr")


def test_every_mode_is_in_every_batch_after_the_video_stage():
    recipe = UvaRecipe(video_only_steps=5, windows={"policy": 2, "video": 1})
    assert recipe.modes(5) == [MaskMode.POLICY, MaskMode.POLICY, MaskMode.VIDEO]
    assert set(recipe.modes(4)) <= {MaskMode.VIDEO, MaskMode.FORWARD_DYNAMICS}


def test_training_lowers_the_loss(tmp_path, tiny_config, buffer_path, windows):
    recipe = UvaRecipe(
        steps=30,
        learning_rate=3e-3,
        warmup_steps=2,
        normalizer_minimum_range=0.1,
        windows={"policy": 2, "policy_planner": 2, "video": 1, "forward_dynamics": 2, "inverse_dynamics": 1},
    )
    torch.manual_seed(0)
    untrained = UvaPolicy(tiny_config)
    policy = uva_training.prepare_policy(tiny_config, untrained.tokenizer, windows, recipe)
    buffer, cache = ReplayBuffer(buffer_path), tmp_path / "latents.safetensors"
    latents = uva_training.cached_latents(policy, buffer, cache)
    again = uva_training.cached_latents(policy, buffer, cache)
    assert all((latents[name] == again[name]).all() for name in ("mean", "std"))
    data = uva_training.LatentWindows(policy, latents, windows)
    args = argparse.Namespace(out=tmp_path, seed=0, resume=False, stop_at=None, save_every=20, precision="no")
    uva_training.train(policy, data, recipe, args)
    log = [line for line in (tmp_path / "log.jsonl").read_text().splitlines() if line]
    assert '"step": 0' in log[0]

    trained = UvaPolicy.load(tmp_path / uva_training.POLICY_FILE)
    assert trained.config.trained_modes == tuple(recipe.windows)
    step = uva_training.TrainingStep(trained.model, 1)
    fresh = uva_training.TrainingStep(untrained.model, 1)
    modes = recipe.modes(99) * 4
    torch.manual_seed(1)
    after = step(data.batch(modes), modes).total.item()
    torch.manual_seed(1)
    before = fresh(data.batch(modes), modes).total.item()
    assert after < before


class PowerCutError(Exception):
    pass


def test_a_run_that_was_cut_and_resumed_ends_where_an_uninterrupted_one_does(
    tmp_path, tiny_config, buffer_path, windows, monkeypatch
):
    recipe = UvaRecipe(
        steps=12, learning_rate=3e-3, warmup_steps=2, normalizer_minimum_range=0.1, windows={"policy": 2, "video": 2}
    )
    tokenizer = UvaPolicy(tiny_config).tokenizer

    def run(folder, *, cut_at=None, stop_at=None, resume=False, recipe=recipe):
        torch.manual_seed(5)
        policy = uva_training.prepare_policy(tiny_config, tokenizer, windows, recipe)
        latents = uva_training.cached_latents(policy, ReplayBuffer(buffer_path), tmp_path / "latents.safetensors")
        data = uva_training.LatentWindows(policy, latents, windows)
        draw, calls = data.batch, []

        def batch(modes):
            calls.append(1)
            if len(calls) == cut_at:
                raise PowerCutError
            return draw(modes)

        data.batch = batch
        folder.mkdir(exist_ok=True)
        args = argparse.Namespace(out=folder, seed=0, resume=resume, stop_at=stop_at, save_every=5, precision="no")
        uva_training.train(policy, data, recipe, args)
        return len(calls), UvaPolicy.load(folder / uva_training.POLICY_FILE)

    _, whole = run(tmp_path / "whole")
    with pytest.raises(PowerCutError):
        run(tmp_path / "cut", cut_at=9)
    steps, _ = run(tmp_path / "cut", resume=True, stop_at=8)
    assert steps == 8 - 5
    steps, resumed = run(tmp_path / "cut", resume=True)
    assert steps == 12 - 8
    for (name, a), b in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name)

    other = UvaRecipe(**{**vars(recipe), "learning_rate": 1e-3})
    with pytest.raises(ValueError, match="another configuration, tokenizer, recipe or data"):
        run(tmp_path / "cut", resume=True, recipe=other)
    with pytest.raises(ValueError, match="nothing to resume from"):
        run(tmp_path / "new", resume=True)


def test_windows_of_two_buffers_stay_in_their_buffer(buffer_path, tiny_config, windows):
    buffer = ReplayBuffer(buffer_path)
    both = Windows(buffer, tiny_config.model, tiny_config.observation)
    both.extend(windows)
    first = len(windows)
    assert len(both) == 2 * first
    assert both.imitable.tolist() == [*windows.imitable, *(windows.imitable + first)]
    assert both.history[first].tolist() == [first] * 4
    assert both.future[first - 1].tolist() == [first - 1] * 4
    assert (both.actions[first:] == windows.actions).all()


def test_fine_tuning_starts_from_a_checkpoint_and_keeps_its_tokenizer(
    tmp_path, tiny_config, tiny_policy, buffer_path, monkeypatch, capsys
):
    preset = {
        "config": to_dict(dataclasses.replace(tiny_config, trained_modes=())),
        "training": {"steps": 1000, "windows": {"policy": 2, "video": 2}},
        "fine_tuning": {"steps": 2, "learning_rate": 1e-4, "warmup_steps": 0},
    }
    monkeypatch.setattr(uva_training.presets, "load", lambda name: preset)
    start, out = tmp_path / "start.safetensors", tmp_path / "run"
    command = ["uva", "--data", str(buffer_path), str(buffer_path), "--init", str(start), "--out", str(out)]
    monkeypatch.setattr("sys.argv", [*command, "--precision", "no"])
    tiny_policy.save(start)
    uva_training.main()

    tuned = UvaPolicy.load(out / uva_training.POLICY_FILE)
    assert tuned.config.trained_modes == ("policy", "video")
    before, after = tiny_policy.state_dict(), tuned.state_dict()
    half = {name: tensor.half().float() for name, tensor in before.items()}  # as weights are saved
    frozen = [name for name in before if "normalizer" in name or name.startswith("tokenizer")]
    assert all((after[n] == (before if "normalizer" in n else half)[n]).all() for n in frozen)
    changes = {n: (after[n] - half[n]).abs().max().item() for n in before if n not in frozen}
    assert 0 < max(changes.values()) < 1e-3, "two small steps away"

    preset["config"]["model"]["video_head_width"] *= 2
    with pytest.raises(SystemExit):
        uva_training.main()
    assert "model.video_head_width 32, not 64" in capsys.readouterr().err


def test_data_of_another_rate_or_without_an_expert_is_refused(buffer_path, tiny_config):
    buffer = ReplayBuffer(buffer_path)
    buffer.rate_hz = 60.0
    with pytest.raises(ValueError, match="60.0 steps a second, the observations 10.0"):
        Windows(buffer, tiny_config.model, tiny_config.observation)
    buffer = ReplayBuffer(buffer_path)
    buffer.is_expert[:] = False
    with pytest.raises(ValueError, match="nothing to imitate"):
        Windows(buffer, tiny_config.model, tiny_config.observation)


def test_training_windows_and_the_live_buffer_see_the_same(buffer_path, tiny_config, windows):
    """One recorded episode through both: equal frames and equal robot states."""
    buffer, start = ReplayBuffer(buffer_path), LENGTHS[0]
    live = ObservationBuffer(tiny_config.observation, 64, pad_start=True)
    for step in range(start, start + 15):
        live.add_pose((step - start) / 10, buffer.pose[step], float(buffer.gripper_width[step]))
        live.add_image((step - start) / 10, buffer.images[step])
        seen = live.sample()
        stored = images.prepare(np.stack([buffer.images[int(i)] for i in windows.history[step]]), 64, "area")
        assert (seen.frames == stored).all()
        state = proprioception(seen.eef_pose, seen.gripper_width, seen.start_pose, absolute=True)
        np.testing.assert_allclose(state, windows.proprioception[step].numpy(), atol=1e-6)
