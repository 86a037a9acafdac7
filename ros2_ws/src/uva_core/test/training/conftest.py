# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest
import torch

from uva_core.data.windows import Windows
from uva_core.network.config import ModelConfig
from uva_core.network.model import Uva
from uva_core.policy.policy import UvaPolicy
from uva_core.training import initial_policy
from uva_core.training.batch import TrainingBatch
from uva_core.training.latents import LatentWindows, encode_frames


@pytest.fixture(scope="session")
def full_config(tiny_config) -> ModelConfig:
    """A network that is given, and decodes, all that there is."""
    return dataclasses.replace(
        tiny_config.model,
        past_actions=True,
        wrist_history=True,
        wrist_future=True,
        proprioception_target_dim=6,
        text_dim=8,
        text_tokens=2,
    )


@pytest.fixture(scope="session")
def full_model(full_config) -> Uva:
    torch.manual_seed(0)
    model = Uva(full_config)
    with torch.no_grad():  # heads start at zero, which would hide what they depend on
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="session")
def make_batch(full_config):
    """Make a batch of random numbers for `full_config`."""
    c = full_config

    def make(samples: int, device: str = "cpu") -> TrainingBatch:
        def random(*shape: int) -> torch.Tensor:
            return torch.randn(samples, *shape, device=device)

        frames = (c.frames, c.latent_channels, c.latent_size, c.latent_size)
        return TrainingBatch(
            history=random(*frames),
            future=random(*frames),
            actions=random(c.action_steps, c.action_dim),
            past_actions=random(c.action_steps, c.action_dim),
            past_actions_missing=random(c.action_steps) > 1,
            proprioception=random(c.proprioception_steps, c.proprioception_dim),
            proprioception_target=random(c.action_steps, c.proprioception_target_dim),
            wrist_history=random(*frames),
            wrist_future=random(*frames),
            text=random(c.text_dim),
        )

    return make


@pytest.fixture
def make_data(demonstrations, tiny_config):
    """Make an untrained policy and the batches of the demonstrations for it."""

    def make(recipe, **model) -> tuple[UvaPolicy, LatentWindows]:
        config = dataclasses.replace(tiny_config, model=dataclasses.replace(tiny_config.model, **model))
        windows = Windows(demonstrations, config.model, config.observation)
        torch.manual_seed(5)
        policy = initial_policy.untrained(config, UvaPolicy(config).tokenizer, windows, recipe)
        latents = encode_frames(policy, demonstrations.images)
        if config.model.wrist_history or config.model.wrist_future:
            wrist = encode_frames(policy, np.asarray(demonstrations.wrist_images))
            latents |= {f"wrist_{name}": values for name, values in wrist.items()}
        return policy, LatentWindows(policy, latents, windows)

    return make
