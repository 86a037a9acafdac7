# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest
import torch
import zarr

from uva_core import poses, presets
from uva_core.config import UvaConfig
from uva_core.data.demonstrations import Demonstrations
from uva_core.network.config import ModelConfig
from uva_core.observation.observation import Observation
from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import from_dict


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
