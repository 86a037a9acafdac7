# SPDX-License-Identifier: Apache-2.0
"""TODO."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from uva_core.network.config import ModelConfig
from uva_core.network.masking import random_mask_ratios, random_orders


@dataclass
class TrainingBatch:
    """Targets and inputs of B windows, normalized and scaled.

    Attributes:
        history, future: (B, h, C, H, W) latents.
        actions: (B, T, A); the target, or the input in `forward_dynamics`.
        past_actions: (B, T, A) or None. text: (B, E) or None.
        proprioception: (B, S, P) or None. proprioception_target: (B, T, Q) or None.
        wrist_history, wrist_future: (B, h, C, H, W) latents or None.
    """

    history: Tensor
    future: Tensor
    actions: Tensor
    past_actions: Tensor | None = None
    proprioception: Tensor | None = None
    proprioception_target: Tensor | None = None
    wrist_history: Tensor | None = None
    wrist_future: Tensor | None = None
    text: Tensor | None = None


@dataclass
class RowDraw:
    """Timesteps (R, B, L) and noise (R, B, L, C) for R draws of each of L rows of B samples."""

    timestep: Tensor
    noise: Tensor

    @classmethod
    def random(cls, draws: int, batch: int, length: int, channels: int, timesteps: int) -> RowDraw:
        """Draw uniformly over the schedule."""
        return cls(torch.randint(timesteps, (draws, batch, length)), torch.randn(draws, batch, length, channels))


@dataclass
class TrainingDraw:
    """All randomness of one training step, so that a step can be repeated exactly."""

    orders: Tensor  # (B, N)
    mask_ratios: Tensor  # (B,)
    video: RowDraw
    actions: RowDraw
    proprioception: RowDraw | None = None
    wrist: RowDraw | None = None
    text_missing: Tensor | None = None  # (B,) bool
    past_actions_missing: Tensor | None = None  # (B, T) bool

    @classmethod
    def random(cls, c: ModelConfig, batch: int, action_draws: int = 1) -> TrainingDraw:
        """Draw from torch's global generator; more timesteps per action make the loss of one latent less noisy."""
        target, steps = c.proprioception_target_dim, c.train_timesteps
        hide_past = torch.rand(batch, c.action_steps) < c.past_action_dropout if c.past_actions else None
        return cls(
            orders=random_orders(batch, c.tokens_per_frame),
            mask_ratios=random_mask_ratios(batch),
            video=RowDraw.random(1, batch, c.sequence_length, c.token_dim, steps),
            wrist=RowDraw.random(1, batch, c.sequence_length, c.token_dim, steps) if c.wrist_future else None,
            past_actions_missing=hide_past,
            actions=RowDraw.random(action_draws, batch, c.action_steps, c.action_dim, steps),
            proprioception=RowDraw.random(action_draws, batch, c.action_steps, target, steps) if target else None,
            text_missing=torch.rand(batch) < c.text_dropout if c.text_dim else None,
        )
