# SPDX-License-Identifier: Apache-2.0
"""Published files become checkpoints of ours that compute the same, and no tensor gets lost on the way."""

import re
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from uva_core.checkpoint import safetensors_file as checkpoint
from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.modes import MaskMode
from uva_core.official.importing.account import check_finite
from uva_core.official.importing.command import main
from uva_core.official.importing.convert import Options, convert
from uva_core.official.importing.torch_file import TorchFile
from uva_core.official.parity.case import Case, Row
from uva_core.official.parity.network import NetworkCase
from uva_core.official.parity.observed_policy import PolicyCase
from uva_core.policy.policy import UvaPolicy
from uva_core.training import tokenizer as tokenizer_training

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def converted(official_state, tmp_path_factory, save_official) -> Path:
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


HEADS = {"diffloss_w": 1024, "diffloss_d": 6, "diffloss_act_w": 1024, "diffloss_act_d": 6}


def test_the_weights_without_averaging_can_be_chosen(tmp_path, small_state, save_official):
    source = save_official(tmp_path / "in.ckpt", small_state)
    main(["convert", str(source), str(tmp_path / "out.safetensors"), "--heads", "4", "--weights", "model"])
    tensors, _ = checkpoint.load(tmp_path / "out.safetensors")
    assert all(not tensor.any() for tensor in tensors.values() if tensor.ndim > 1)


def test_every_tensor_is_accounted_for(tmp_path, small_state, capsys, save_official):
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


def test_a_tensor_of_another_shape_is_named_with_both(tmp_path, small_state, capsys, save_official):
    state = small_state | {"model.z_proj_ln.bias": torch.zeros(65)}
    assert (
        main(["convert", str(save_official(tmp_path / "in.ckpt", state)), str(tmp_path / "out"), "--heads", "4"]) == 2
    )
    assert "  model.z_proj_ln.bias (65,) instead of (64,)\n" in capsys.readouterr().out


def test_wrappers_of_several_devices_are_taken_off(tmp_path, small_state, save_official):
    source = save_official(tmp_path / "in.ckpt", {f"module.{name}": t for name, t in small_state.items()})
    assert main(["convert", str(source), str(tmp_path / "out.safetensors"), "--heads", "4"]) == 0
    bias = UvaPolicy.load(tmp_path / "out.safetensors").model.input_norm.bias
    assert torch.equal(bias, small_state["model.z_proj_ln.bias"])


def test_a_task_without_normalization_gets_identities(tmp_path, small_state, save_official):
    state = {name: tensor for name, tensor in small_state.items() if not name.startswith("normalizer.")}
    source = save_official(tmp_path / "in.ckpt", state, "task.dataset.normalizer_type=none")
    assert main(["convert", str(source), str(tmp_path / "out.safetensors"), "--heads", "4"]) == 0
    assert UvaPolicy.load(tmp_path / "out.safetensors").action_normalizer.scale.tolist() == [1, 1]


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


def mapped_bytes(path: Path) -> int:
    """How much of a mapped file is in this process's memory."""
    regions = Path("/proc/self/smaps").read_text().split("VmFlags:")
    return sum(int(re.search(r"\nRss: +(\d+) kB", region)[1]) * 1024 for region in regions if str(path) in region)


def test_only_the_weights_that_are_taken_are_read(tmp_path, small_state, save_official):
    source = save_official(tmp_path / "in.ckpt", small_state, optimizer_size=4_000_000)
    file = TorchFile(source)
    check_finite(convert(file, Options(heads=4)))
    weights = sum(tensor.nbytes for tensor in small_state.values())
    assert source.stat().st_size > 8 * weights
    assert weights / 2 < mapped_bytes(source) < source.stat().st_size / 3  # neighbouring pages come along


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ("model.fuse.weight", "model.module.fuse.weight"),
            r"model.fuse.weight and model.module.fuse.weight differ only",
        ),
        (("model.z_proj_ln.bias", "model.input_norm.bias"), r"model.z_proj_ln.bias and model.input_norm.bias"),
        (
            ("vae_model.encoder.mid.block_1.norm1.bias", "vae_model.encoder.mid_block.resnets.0.norm1.bias"),
            r"encoder.mid_block.resnets.0.norm1.bias: one is encoder.mid_block.resnets.0.norm1.bias",
        ),
    ],
)
def test_two_tensors_for_one_place_are_refused_with_both_names(tmp_path, small_state, save_official, names, said):
    state = small_state | {name: torch.zeros(64) for name in names}
    with pytest.raises(CheckpointError, match=said):
        convert(TorchFile(save_official(tmp_path / "in.ckpt", state)), Options(heads=4))


def test_weights_of_integers_are_refused(tmp_path, small_state, save_official):
    state = small_state | {"model.z_proj_ln.bias": torch.ones(64, dtype=torch.int64)}
    with pytest.raises(CheckpointError, match=r"model.z_proj_ln.bias holds torch.int64"):
        convert(TorchFile(save_official(tmp_path / "in.ckpt", state)), Options(heads=4))


def test_names_with_huge_numbers_are_tensors_without_a_place(tmp_path, small_state, save_official):
    names = ["model.encoder_blocks.999999999.norm1.bias", f"model.decoder_blocks.{'9' * 5000}.norm1.bias"]
    names += ["vae_model.decoder.up.999999999.block.0.norm1.bias", "vae_model.encoder.down.999999999.x"]
    state = small_state | {name: torch.zeros(64) for name in names}
    converted = convert(TorchFile(save_official(tmp_path / "in.ckpt", state)), Options(heads=4))
    assert not converted.missing
    assert len(converted.unknown) == 4


def test_weights_that_share_their_numbers_are_refused(tmp_path):
    numbers = torch.zeros(100_000)
    state = {f"model.encoder_blocks.{i}.norm1.bias": numbers for i in range(100)}
    torch.save({"cfg": {}, "state_dicts": {"model": state}}, tmp_path / "in.ckpt")
    with pytest.raises(CheckpointError, match="its weights overlap: tensors of 40000000 bytes in a file of"):
        convert(TorchFile(tmp_path / "in.ckpt"), Options())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("encoder_depth=20000", "encoder_depth is 20000; choose 1 to 256"),
        ("encoder_depth=-1", "encoder_depth is -1"),
        ("decoder_depth=1000000000", "decoder_depth is 1000000000"),
        ("act_diff_training_steps=1000000000", "train_timesteps is 1000000000"),
        ("diffloss_d=1000000000", "video_head_depth is 1000000000"),
        ("img_size=16000000000", "latent_size is 1000000000"),
        ("temperature=.nan", "action_temperature is nan"),
        ("temperature=.inf", "action_temperature is inf"),
        ("patch_size=one", "unsupported operand|patch_size must be a whole number"),
        ("decoder_num_heads=[4]", "the two transformers differ"),
    ],
)
def test_impossible_sizes_are_refused_before_anything_is_built(tmp_path, small_state, save_official, change, said):
    change = f"model.policy.autoregressive_model_params.{change}"
    with pytest.raises(CheckpointError, match=said):
        convert(TorchFile(save_official(tmp_path / "in.ckpt", small_state, change)), Options(heads=4))


def test_more_than_there_is_cannot_be_missing(tmp_path, small_state, save_official):
    change = "model.policy.autoregressive_model_params.encoder_depth=256"
    converted = convert(TorchFile(save_official(tmp_path / "in.ckpt", small_state, change)), Options(heads=4))
    with pytest.raises(CheckpointError, match=r"numbers are missing and only \d+ are there"):
        converted.fill_missing()
