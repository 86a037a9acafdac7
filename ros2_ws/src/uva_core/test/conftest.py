# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest
import torch

from uva_core import presets
from uva_core.config import UvaConfig
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
