# SPDX-License-Identifier: Apache-2.0
"""The policy that a run starts from: untrained around a tokenizer, or a checkpoint that is fine-tuned."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import torch

from uva_core.config import UvaConfig
from uva_core.data.windows import Windows
from uva_core.network.tokenizer import Tokenizer
from uva_core.normalizer import LinearNormalizer
from uva_core.policy.policy import UvaPolicy
from uva_core.training.recipes import UvaRecipe


def untrained(config: UvaConfig, tokenizer: Tokenizer, windows: Windows, recipe: UvaRecipe) -> UvaPolicy:
    """Build an untrained policy around a tokenizer, with normalizers fitted to the windows."""
    policy = UvaPolicy(dataclasses.replace(config, tokenizer=tokenizer.config, trained_modes=recipe.trained_modes))
    policy.tokenizer.load_state_dict(tokenizer.state_dict())
    fit = functools.partial(
        LinearNormalizer.fit_limits,
        minimum_range=recipe.normalizer_minimum_range,
        outliers=recipe.normalizer_outliers,
    )
    policy.action_normalizer = fit(torch.cat([windows.actions, windows.expert_actions[windows.imitable]]).flatten(0, 1))
    if windows.proprioception is not None:
        policy.proprioception_normalizer = fit(windows.proprioception.flatten(0, 1))
    return policy


def from_checkpoint(path: Path, config: UvaConfig, recipe: UvaRecipe) -> UvaPolicy:
    """Load the policy that fine-tuning starts from.

    Raises:
        CheckpointError: missing or damaged.
        ValueError: it is of another network or other observations than `config`; says which fields differ.
    """
    policy = UvaPolicy.load(path)
    for part in ("model", "observation"):
        wanted, found = vars(getattr(config, part)), vars(getattr(policy.config, part))
        other = [f"{part}.{name} {found[name]}, not {wanted[name]}" for name in wanted if found[name] != wanted[name]]
        if other:
            raise ValueError(f"{path} is another model than the preset's: {'; '.join(other)}")
    policy.config = dataclasses.replace(policy.config, sampling=config.sampling, trained_modes=recipe.trained_modes)
    return policy
