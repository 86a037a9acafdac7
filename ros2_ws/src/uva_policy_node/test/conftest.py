# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest
import torch

from uva_core import presets
from uva_core.config import UvaConfig
from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import from_dict


@pytest.fixture(scope="session")
def tiny_config() -> UvaConfig:
    """`uva_tiny`, smaller still, that remembers 0.3 s and predicts 0.4 s."""
    config = from_dict(UvaConfig, presets.load("uva_tiny")["config"])
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, width=32, encoder_depth=1, decoder_depth=1),
        observation=dataclasses.replace(config.observation, frame_offsets=(-3, -2, -1, 0)),
    )


@pytest.fixture(scope="session")
def tiny_policy(tiny_config: UvaConfig) -> UvaPolicy:
    torch.manual_seed(0)
    policy = UvaPolicy(tiny_config)
    with torch.no_grad():  # heads start at zero, which would hide what they depend on
        for parameter in policy.model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return policy
