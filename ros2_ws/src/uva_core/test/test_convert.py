# SPDX-License-Identifier: Apache-2.0
"""Published files become checkpoints of ours that compute the same, and no tensor gets lost on the way."""

import pickle
import re
import runpy
from collections.abc import Iterable
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import dill
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors import safe_open

from uva_core import presets
from uva_core.checkpoint import safetensors_file as checkpoint
from uva_core.config import UvaConfig
from uva_core.modes import RULES, MaskMode
from uva_core.official.importing import official_checkpoint
from uva_core.official.importing.command import main
from uva_core.official.importing.convert import Options, check_finite, convert
from uva_core.official.importing.hydra_config import HydraConfig
from uva_core.official.importing.torch_file import TorchFile
from uva_core.official.parity.case import Case, Row
from uva_core.official.parity.network import NetworkCase
from uva_core.official.parity.observed_policy import PolicyCase
from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import from_dict
from uva_core.training import tokenizer as tokenizer_training

GOLDEN = Path(__file__).parent / "golden"
CONFIG = """
model:
  policy:
    selected_training_mode: null
    n_action_steps: 8
    use_proprioception: null
    use_history_action: null
    action_mask_ratio: 0.5
    different_history_freq: null
    predict_wrist_img: null
    predict_proprioception: null
    shape_meta: ${task.shape_meta}
    shift_action: true
    vae_model_params:
      ddconfig: {vae_embed_dim: 16, ch_mult: [1, 1, 2, 2, 4]}
    autoregressive_model_params:
      model_size: mar_base
      img_size: 256
      vae_stride: 16
      patch_size: 1
      vae_embed_dim: 16
      diffloss_d: 2
      diffloss_w: 64
      diffloss_act_d: 2
      diffloss_act_w: 64
      num_sampling_steps: '100'
      temperature: 0.95
      predict_video: true
      act_diff_training_steps: 1000
      act_diff_testing_steps: '16'
    action_model_params: {predict_action: true, act_model_type: conv_fc}
task:
  name: pusht
  task_modes: []
  shape_meta: {action: {shape: [2]}, latency: "${eval:'__import__(1)'}"}
  dataset: {language_emb_model: null, normalizer_type: all, root: '???'}
  env_runner: {fps: 10}
training: {use_ema: true}
"""


@pytest.fixture(scope="module")
def official_state() -> dict[str, torch.Tensor]:
    """The state dict of an official policy, put together from golden cases."""
    state = {f"model.{name}": tensor for name, tensor in Case(GOLDEN / "A_pusht").weights.items()}
    state |= {f"vae_model.{name}": tensor for name, tensor in Case(GOLDEN / "F_vae").weights.items()}
    prefix = "normalizer/state/"
    recorded = Case(GOLDEN / "H_policy_pusht").tensors
    return state | {f"normalizer.{n.removeprefix(prefix)}": t for n, t in recorded.items() if n.startswith(prefix)}


@pytest.fixture(scope="module")
def small_state(official_state) -> dict[str, torch.Tensor]:
    """The same with an autoencoder of 32 channels throughout, which is quicker to write and read."""
    state = {}
    for name, tensor in official_state.items():
        if not name.startswith("vae_model."):
            state[name] = tensor
        elif "nin_shortcut" not in name:
            state[name] = tensor[tuple(slice(32) for _ in range(min(2, tensor.ndim)))].clone()
    return state


def save_official(path: Path, ema: dict[str, torch.Tensor], change: str = "", module=dill, optimizer_size=3) -> Path:
    """Write `ema` as the official workspace does, beside weights without averaging, an optimizer and counters."""
    parameter = torch.nn.Parameter(torch.ones(optimizer_size))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    payload = {
        "cfg": OmegaConf.merge(OmegaConf.create(CONFIG), OmegaConf.from_dotlist(change.split())),
        "state_dicts": {
            "model": {name: torch.zeros_like(tensor) for name, tensor in ema.items()},
            "ema_model": ema,
            "optimizer": optimizer.state_dict(),
        },
        "pickles": {"global_step": dill.dumps(7), "_output_dir": dill.dumps("out")},
    }
    torch.save(payload, path, pickle_module=module)
    return path


@pytest.fixture(scope="module")
def converted(official_state, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("official")
    source = save_official(folder / "latest.ckpt", official_state)
    assert main(["convert", str(source), str(folder / "uva.safetensors"), "--heads", "4"]) == 0
    return folder / "uva.safetensors"


def check(rows: Iterable[Row]) -> None:
    """All that was computed is equal, and something was."""
    compared = [row for row in rows if row.error is not None]
    assert compared
    assert not [row for row in compared if not row.passed]


def test_a_converted_network_computes_the_golden_latents_and_actions(converted):
    case = Case(GOLDEN / "A_pusht")
    network = NetworkCase(case)
    network.model = UvaPolicy.load(converted).model
    check(case.compare(takewhile(lambda result: "/iter" not in result[0], network.results())))


def test_a_converted_policy_sees_and_acts_as_the_official_one(converted, official_state):
    case = Case(GOLDEN / "H_policy_pusht")
    observed = PolicyCase(case)
    observed.policy = UvaPolicy.load(converted)
    # The rest of the case is these latents into the network above; it runs among the parity tests.
    check(case.compare(takewhile(lambda result: result[0] != "cond", observed.results())))
    normalizer = observed.policy.action_normalizer
    assert torch.equal(normalizer.scale, official_state["normalizer.params_dict.action.scale"])
    assert torch.equal(normalizer.offset, official_state["normalizer.params_dict.action.offset"])


@torch.no_grad()
def test_kl16_becomes_a_tokenizer(tmp_path, capsys):
    case = Case(GOLDEN / "F_vae")
    torch.save({"model": case.weights | {"loss.logvar": torch.zeros(())}}, tmp_path / "kl16.ckpt")
    assert main(["convert", str(tmp_path / "kl16.ckpt"), str(tmp_path / tokenizer_training.FILE)]) == 0
    assert "not used by the forward pass: 1\n  loss.logvar\n" in capsys.readouterr().out
    tokenizer = tokenizer_training.load(tmp_path)
    mean, std = tokenizer.moments(case["image"])
    decoded = tokenizer.decode(case["decode_in"] * tokenizer.config.scaling_factor)
    flat_mean, _ = tokenizer.moments(case["flat_image"])
    check(case.compare([("mean", mean), ("std", std), ("flat_mean", flat_mean), ("decoded", decoded)]))


def test_the_configuration_tells_how_the_policy_was_trained(converted):
    config = UvaPolicy.load(converted).config
    assert config.trained_modes == tuple(mode.value for mode in MaskMode)
    assert (config.sampling.action_steps, config.sampling.video_steps) == (16, 100)
    assert config.observation.rate_hz == 10
    assert config.observation.action_space == "vector"
    assert config.observation.first_action_step == 0
    assert config.tokenizer.last_level_attention


@pytest.mark.parametrize(
    ("change", "modes"),
    [
        ("model.policy.selected_training_mode=video_model", ["video_model"]),
        (
            "model.policy.selected_training_mode=policy_model_full_dynamics_model",
            ["policy_model", "full_dynamic_model"],
        ),
        ("task.task_modes=[policy_model,inverse_model]", ["policy_model", "inverse_model"]),
    ],
)
def test_trained_modes_follow_the_official_rule(tmp_path, small_state, change, modes):
    source = save_official(tmp_path / "in.ckpt", small_state, change, pickle)
    assert main(["convert", str(source), str(tmp_path / "out.safetensors"), "--heads", "4"]) == 0
    trained = UvaPolicy.load(tmp_path / "out.safetensors").config.trained_modes
    assert set(trained) == {mode.value for mode in MaskMode if RULES[mode].official_name in modes}


HEADS = {"diffloss_w": 1024, "diffloss_d": 6, "diffloss_act_w": 1024, "diffloss_act_d": 6}


@pytest.mark.parametrize(
    ("preset", "change"),
    [
        ("pusht", ""),
        (
            "libero10",
            "task.name=libero10 task.shape_meta.action.shape=[10] task.dataset.language_emb_model=clip"
            " task.dataset.abs_action=true",
        ),
        (
            "toolhang",
            "task.name=toolhang task.shape_meta.action.shape=[10] task.dataset.abs_action=true"
            " model.policy.use_proprioception=true model.policy.predict_proprioception=true"
            " model.policy.predict_wrist_img=true",
        ),
        (
            "umi_multitask",
            "task.name=umi task.shape_meta.action.shape=[10] task.dataset.language_emb_model=clip"
            " task.pose_repr.obs_pose_repr=relative task.pose_repr.action_pose_repr=relative"
            " model.policy.use_proprioception=true model.policy.predict_proprioception=true"
            " model.policy.different_history_freq=true model.policy.shift_action=false",
        ),
    ],
)
def test_published_configurations_give_the_presets(preset, change):
    published = {"model": {"policy": {"autoregressive_model_params": HEADS}}}
    hydra = OmegaConf.merge(OmegaConf.create(CONFIG), published, OmegaConf.from_dotlist(change.split()))
    sizes = {
        "z_proj.weight": (768, 16),
        "decoder_embed.weight": (768, 768),
        "encoder_blocks.0.mlp.fc1.weight": (3072, 768),
        "diffloss.net.input_proj.weight": (1024, 16),
    }
    network = {name: torch.empty(shape, device="meta") for name, shape in sizes.items()}
    plain = HydraConfig(OmegaConf.to_container(hydra))
    expected = from_dict(UvaConfig, presets.load(preset)["config"])
    config = official_checkpoint.policy_config(plain, network, expected.tokenizer, None)
    without_state = {} if config.model.proprioception_dim else {"proprioception_steps": 16}  # which then says nothing
    assert config.model == replace(expected.model, **without_state)
    assert config.observation == expected.observation


def test_the_weights_without_averaging_can_be_chosen(tmp_path, small_state):
    source = save_official(tmp_path / "in.ckpt", small_state)
    main(["convert", str(source), str(tmp_path / "out.safetensors"), "--heads", "4", "--weights", "model"])
    tensors, _ = checkpoint.load(tmp_path / "out.safetensors")
    assert all(not tensor.any() for tensor in tensors.values() if tensor.ndim > 1)


def test_every_tensor_is_accounted_for(tmp_path, small_state, capsys):
    state = {name: tensor for name, tensor in small_state.items() if name != "model.encoder_norm.bias"}
    state["model.surprise.weight"] = torch.zeros(3, 2)
    state["critic.weight"] = torch.zeros(1)
    state["text_model.logit_scale"] = torch.zeros(())
    source, output = save_official(tmp_path / "in.ckpt", state), tmp_path / "out.safetensors"
    command = ["convert", str(source), str(output), "--heads", "4"]
    assert main(command) == 2
    said = capsys.readouterr()
    assert "1 tensors are missing, nothing was written" in said.err
    assert said.err.count("\n") == 1
    assert not output.exists()
    for line in (
        "not used by the forward pass: 17",
        "  normalizer.params_dict.agent_pos.scale",
        "  text_model.logit_scale",
        "in the file, without a place in this network: 2",
        "  model.surprise.weight (3, 2)",
        "  critic.weight (1,)",
        "missing in the file: 1",
        "  model.encoder_norm.bias",
    ):
        assert f"{line}\n" in said.out
    assert main([*command, "--allow-missing"]) == 0
    with safe_open(output, framework="pt") as file:
        notes = file.metadata()
    assert notes["source"] == "official UVA checkpoint"
    assert (notes["missing_tensors"], notes["unused_tensors"], notes["unknown_tensors"]) == ("1", "17", "2")
    policy = UvaPolicy.load(output)
    assert not policy.model.encoder_norm.bias.any()  # as in a new network
    assert torch.equal(policy.model.encoder_norm.weight, small_state["model.encoder_norm.weight"])


def test_a_tensor_of_another_shape_is_named_with_both(tmp_path, small_state, capsys):
    state = small_state | {"model.z_proj_ln.bias": torch.zeros(65)}
    assert (
        main(["convert", str(save_official(tmp_path / "in.ckpt", state)), str(tmp_path / "out"), "--heads", "4"]) == 2
    )
    assert "  model.z_proj_ln.bias (65,) instead of (64,)\n" in capsys.readouterr().out


def test_wrappers_of_several_devices_are_taken_off(tmp_path, small_state):
    source = save_official(tmp_path / "in.ckpt", {f"module.{name}": t for name, t in small_state.items()})
    assert main(["convert", str(source), str(tmp_path / "out.safetensors"), "--heads", "4"]) == 0
    bias = UvaPolicy.load(tmp_path / "out.safetensors").model.input_norm.bias
    assert torch.equal(bias, small_state["model.z_proj_ln.bias"])


def test_a_task_without_normalization_gets_identities(tmp_path, small_state):
    state = {name: tensor for name, tensor in small_state.items() if not name.startswith("normalizer.")}
    source = save_official(tmp_path / "in.ckpt", state, "task.dataset.normalizer_type=none")
    assert main(["convert", str(source), str(tmp_path / "out.safetensors"), "--heads", "4"]) == 0
    assert UvaPolicy.load(tmp_path / "out.safetensors").action_normalizer.scale.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        ("", [], "does not tell the attention heads of a width of 64: use --heads"),
        ("task.shape_meta=null", ["--heads", "4"], "does not describe a UVA policy"),
        ("model.policy.action_model_params.act_model_type=lstm", ["--heads", "4"], "unknown act_model_type 'lstm'"),
        ("", ["--heads", "5"], "width 64 is not divisible by 5 heads"),
    ],
)
def test_what_cannot_be_converted_is_one_clear_line(tmp_path, small_state, capsys, change, arguments, said):
    source = save_official(tmp_path / "in.ckpt", small_state, change)
    assert main(["convert", str(source), str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_weights_that_are_not_finite_are_refused(tmp_path, small_state, capsys):
    state = small_state | {"model.z_proj_ln.bias": torch.full((64,), torch.nan)}
    assert (
        main(["convert", str(save_official(tmp_path / "in.ckpt", state)), str(tmp_path / "out"), "--heads", "4"]) == 2
    )
    assert "NaN or infinity in 1 tensors (model.input_norm.bias)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_input_is_never_overwritten(tmp_path, small_state, capsys):
    source = save_official(tmp_path / "in.ckpt", small_state)
    before = source.stat()
    assert main(["convert", str(source), str(source), "--heads", "4"]) == 2
    assert main(["convert", str(source), str(tmp_path), "--heads", "4"]) == 2
    assert source.stat().st_mtime_ns == before.st_mtime_ns


def test_mar_starts_a_network_with_what_fits(tmp_path, capsys):
    fits = {"z_proj_ln.weight": torch.full((128,), 2.0), "diffloss.net.cond_embed.bias": torch.full((192,), 3.0)}
    others = {"class_emb.weight": torch.zeros(10, 128), "encoder_norm.bias": torch.zeros(768)}
    torch.save({"model": {}, "model_ema": fits | others, "epoch": 399, "args": None}, tmp_path / "mar.pth")
    command = ["convert", str(tmp_path / "mar.pth"), str(tmp_path / "out.safetensors")]
    assert main(command) == 2
    assert "say which with --preset" in capsys.readouterr().err
    assert main([*command, "--preset", "uva_tiny"]) == 0
    said = capsys.readouterr().out
    for line in ("class_emb.weight (10, 128)", "encoder_norm.bias (768,) instead of (128,)", "model.fuse.weight"):
        assert f"  {line}\n" in said
    policy = UvaPolicy.load(tmp_path / "out.safetensors")
    assert policy.model.input_norm.weight.tolist() == [2.0] * 128
    assert policy.model.video_head.net.cond_embed.bias.tolist() == [3.0] * 192
    assert policy.model.fuse.weight.any()


def test_other_payloads_are_named(tmp_path, capsys):
    torch.save({"weights": {}, "step": 3}, tmp_path / "x.pth")
    assert main(["convert", str(tmp_path / "x.pth"), str(tmp_path / "out")]) == 2
    assert "is no UVA, MAR or kl16 checkpoint (it holds: weights, step)" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_the_command_refuses_a_hostile_file_with_one_line(tmp_path, monkeypatch, capsys):
    class Hostile:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'owned')!r}, 'w')",))

    torch.save({"cfg": Hostile(), "state_dicts": {}}, tmp_path / "in.ckpt")
    monkeypatch.setattr("sys.argv", ["checkpoint", "convert", str(tmp_path / "in.ckpt"), str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_module("uva_core.checkpoint", run_name="__main__")
    error = capsys.readouterr().err
    assert error.endswith(
        "is refused: it asks for builtins.exec, which is no part of a checkpoint (nothing of it was run)\n"
    )
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("o*"))


def test_language_latents_go_into_the_checkpoint_table(tmp_path, small_state):
    with_language = {
        "fake_latent": (1, 64),
        "text_proj_cond.weight": (64, 512),
        "text_proj_cond.bias": (64,),
        "text_pos_embed": (1, 64, 64),
        "decoder_text_pos_embed": (1, 64, 64),
    }
    state = small_state | {f"model.{name}": torch.zeros(shape) for name, shape in with_language.items()}
    source = save_official(tmp_path / "in.ckpt", state, "task.dataset.language_emb_model=clip")
    table = {"cup": np.full((1, 512), 2, np.float32), "towel": np.zeros((1, 512), np.float32)}
    (tmp_path / "latents.pkl").write_bytes(pickle.dumps(table))
    command = ["convert", str(source), str(tmp_path / "out.safetensors"), "--heads", "4"]
    assert main([*command, "--instructions", str(tmp_path / "latents.pkl")]) == 0
    policy = UvaPolicy.load(tmp_path / "out.safetensors")
    assert policy.config.instructions == ("cup", "towel")
    assert policy.instructions.latent("cup").tolist() == [2.0] * 512


def test_show_tells_what_is_in_a_file(tmp_path, small_state, converted, capsys):
    assert main(["show", str(converted)]) == 0
    ours = capsys.readouterr().out
    assert "source: official UVA checkpoint" in ours
    assert "model.fuse.weight (64, 192)" in ours
    assert main(["show", str(save_official(tmp_path / "in.ckpt", small_state))]) == 0
    theirs = capsys.readouterr().out
    assert "model_size: mar_base" in theirs
    assert "  model.z_proj_ln.bias (64,)" in theirs


def mapped_bytes(path: Path) -> int:
    """How much of a mapped file is in this process's memory."""
    regions = Path("/proc/self/smaps").read_text().split("VmFlags:")
    return sum(int(re.search(r"\nRss: +(\d+) kB", region)[1]) * 1024 for region in regions if str(path) in region)


def test_only_the_weights_that_are_taken_are_read(tmp_path, small_state):
    source = save_official(tmp_path / "in.ckpt", small_state, optimizer_size=4_000_000)
    file = TorchFile(source)
    check_finite(convert(file, Options(heads=4)))
    weights = sum(tensor.nbytes for tensor in small_state.values())
    assert source.stat().st_size > 8 * weights
    assert weights / 2 < mapped_bytes(source) < source.stat().st_size / 3  # neighbouring pages come along
