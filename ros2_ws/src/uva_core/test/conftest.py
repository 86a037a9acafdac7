# SPDX-License-Identifier: Apache-2.0
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dill
import numpy as np
import pytest
import torch
import zarr
from omegaconf import OmegaConf

from uva_core import poses, presets
from uva_core.config import UvaConfig
from uva_core.data.demonstrations import Demonstrations
from uva_core.network.config import ModelConfig
from uva_core.observation.observation import Observation
from uva_core.official.parity.case import Case
from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import from_dict

GOLDEN = Path(__file__).parent / "golden"
OFFICIAL_CONFIG = """
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


@pytest.fixture(scope="session")
def tiny_config() -> UvaConfig:
    """`uva_tiny`, smaller still."""
    config = from_dict(UvaConfig, presets.load("uva_tiny")["config"])
    small: ModelConfig = dataclasses.replace(
        config.model, width=32, encoder_depth=1, decoder_depth=1, video_head_width=32, action_head_width=32
    )
    tokenizer = dataclasses.replace(config.tokenizer, block_out_channels=(16, 16, 16))
    return dataclasses.replace(config, model=small, tokenizer=tokenizer)


@pytest.fixture(scope="session")
def tiny_policy(tiny_config) -> UvaPolicy:
    torch.manual_seed(0)
    policy = UvaPolicy(tiny_config)
    with torch.no_grad():  # heads start at zero, which would hide what they depend on
        for parameter in policy.model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return policy


def make_observation(seed: int) -> Observation:
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[:, :3, 3] = rng.normal(0.3, 0.05, (4, 3))
    frames = torch.from_numpy(rng.uniform(-1, 1, (4, 3, 64, 64))).float()
    return Observation(1.0, frames, poses, np.full(4, 0.03), np.eye(4))


@pytest.fixture
def observation() -> Observation:
    return make_observation(0)


@pytest.fixture
def other_observation() -> Observation:
    return make_observation(1)


EPISODES = (20, 30)


def make_demonstrations() -> Demonstrations:
    """Two episodes in which x grows by 1 cm a step; the last five steps of each are not an expert's."""
    steps = sum(EPISODES)
    within = np.concatenate([np.arange(n) for n in EPISODES])
    pose = np.tile(np.eye(4), (steps, 1, 1))
    pose[:, :3, 3] = np.stack([0.01 * within, np.zeros(steps), np.full(steps, 0.05)], axis=1)
    target, expert = pose.copy(), pose.copy()
    target[:, 0, 3] += 0.01
    expert[:, :2, 3] += [0.01, 0.001]
    width = np.full(steps, 0.02)
    return Demonstrations(
        rate_hz=10.0,
        episode_ends=np.cumsum(EPISODES),
        images=np.random.default_rng(0).integers(0, 255, (steps, 64, 64, 3), dtype=np.uint8),
        pose=pose,
        gripper_width=width,
        actions=poses.encode(target, width),
        expert_actions=poses.encode(expert, width),
        is_expert=within < np.repeat(EPISODES, EPISODES) - 5,
    )


@pytest.fixture
def demonstrations() -> Demonstrations:
    """May be changed."""
    return make_demonstrations()


@pytest.fixture
def umi_zarr_path(tmp_path, demonstrations):
    """The demonstrations in the UMI layout, in Zarr's format 2 as UMI's; may be changed."""
    path = tmp_path / "toy.zarr"
    path.mkdir()
    (path / ".zgroup").write_text('{"zarr_format": 2}')  # the library's own word for it changes with its version
    root = zarr.open_group(str(path), mode="r+")

    def vectors(encoded):
        pose, width = poses.decode(encoded)
        return np.concatenate([poses.to_vector(pose), width[:, None]], axis=1).astype(np.float32)

    pose = poses.to_vector(demonstrations.pose).astype(np.float32)
    arrays = {
        "camera0_rgb": demonstrations.images,
        "robot0_eef_pos": pose[:, :3],
        "robot0_eef_rot_axis_angle": pose[:, 3:],
        "robot0_gripper_width": demonstrations.gripper_width[:, None].astype(np.float32),
        "robot0_demo_start_pose": np.zeros_like(pose),
        "action": vectors(demonstrations.actions),
        "expert_action": vectors(demonstrations.expert_actions),
        "is_expert": demonstrations.is_expert,
    }
    for name, values in arrays.items():
        root[f"data/{name}"] = values
    root["meta/episode_ends"] = demonstrations.episode_ends
    root.attrs["rate_hz"] = demonstrations.rate_hz
    return path


@pytest.fixture(scope="session")
def official_state() -> dict[str, torch.Tensor]:
    """The state dict of an official policy, put together from golden cases."""
    state = {f"model.{name}": tensor for name, tensor in Case(GOLDEN / "A_pusht").weights.items()}
    state |= {f"vae_model.{name}": tensor for name, tensor in Case(GOLDEN / "F_vae").weights.items()}
    prefix = "normalizer/state/"
    recorded = Case(GOLDEN / "H_policy_pusht").tensors
    return state | {f"normalizer.{n.removeprefix(prefix)}": t for n, t in recorded.items() if n.startswith(prefix)}


@pytest.fixture(scope="session")
def small_state(official_state) -> dict[str, torch.Tensor]:
    """The same with an autoencoder of 32 channels throughout, which is quicker to write and read."""
    state = {}
    for name, tensor in official_state.items():
        if not name.startswith("vae_model."):
            state[name] = tensor
        elif "nin_shortcut" not in name:
            state[name] = tensor[tuple(slice(32) for _ in range(min(2, tensor.ndim)))].clone()
    return state


def _save_official(path: Path, ema: dict[str, torch.Tensor], change: str = "", module=dill, optimizer_size=3) -> Path:
    """Write `ema` as the official workspace does, beside weights without averaging, an optimizer and counters."""
    parameter = torch.nn.Parameter(torch.ones(optimizer_size))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    payload = {
        "cfg": OmegaConf.merge(OmegaConf.create(OFFICIAL_CONFIG), OmegaConf.from_dotlist(change.split())),
        "state_dicts": {
            "model": {name: torch.zeros_like(tensor) for name, tensor in ema.items()},
            "ema_model": ema,
            "optimizer": optimizer.state_dict(),
        },
        "pickles": {"global_step": dill.dumps(7), "_output_dir": dill.dumps("out")},
    }
    torch.save(payload, path, pickle_module=module)
    return path


@pytest.fixture(scope="session")
def save_official() -> Callable[..., Path]:
    """Write a state dict as the official workspace does: (path, state, changes of the configuration)."""
    return _save_official


@pytest.fixture(scope="session")
def official_config() -> Callable[[str], dict[str, Any]]:
    """An official configuration of the published size, with changes, as plain values."""
    heads = {"diffloss_w": 1024, "diffloss_d": 6, "diffloss_act_w": 1024, "diffloss_act_d": 6}
    published = {"model": {"policy": {"autoregressive_model_params": heads}}}

    def config(change: str = "") -> dict[str, Any]:
        hydra = OmegaConf.merge(OmegaConf.create(OFFICIAL_CONFIG), published, OmegaConf.from_dotlist(change.split()))
        plain = OmegaConf.to_container(hydra)
        assert isinstance(plain, dict)
        return plain

    return config


@pytest.fixture(scope="session")
def official_network() -> dict[str, torch.Tensor]:
    """Those tensors of the published size that say something about it, without memory."""
    sizes = {
        "z_proj.weight": (768, 16),
        "decoder_embed.weight": (768, 768),
        "encoder_blocks.0.mlp.fc1.weight": (3072, 768),
        "diffloss.net.input_proj.weight": (1024, 16),
    }
    return {name: torch.empty(shape, device="meta") for name, shape in sizes.items()}
