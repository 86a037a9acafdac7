# SPDX-License-Identifier: Apache-2.0
"""What one training step takes: the windows of a batch, and all of the step's randomness."""

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
        past_actions: (B, T, A) or None.
        past_actions_missing: (B, T) bool, True where the data has none; None: nowhere.
        proprioception: (B, S, P) or None.
        proprioception_target: (B, T, Q) or None.
        text: (B, E) or None.
        wrist_history, wrist_future: (B, h, C, H, W) latents or None.
    """

    history: Tensor
    future: Tensor
    actions: Tensor
    past_actions: Tensor | None = None
    past_actions_missing: Tensor | None = None
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
    def random(
        cls, draws: int, batch: int, length: int, channels: int, timesteps: int, device: torch.device | None = None
    ) -> RowDraw:
        """Draw uniformly over the schedule, on `device`."""
        return cls(
            torch.randint(timesteps, (draws, batch, length), device=device),
            torch.randn(draws, batch, length, channels, device=device),
        )


@dataclass
class TrainingDraw:
    """All randomness of one training step, so that a step can be repeated exactly.

    Attributes:
        orders: (B, N) permutations of the spatial positions.
        mask_ratios: (B,) share of the positions that are masked.
        video, actions, proprioception, wrist: timesteps and noise of each head; None where there is no such head.
        text_missing: (B,) bool, True where the language latent is hidden.
        past_actions_missing: (B, T) bool, True where a past action is hidden.
    """

    orders: Tensor
    mask_ratios: Tensor
    video: RowDraw
    actions: RowDraw
    proprioception: RowDraw | None = None
    wrist: RowDraw | None = None
    text_missing: Tensor | None = None
    past_actions_missing: Tensor | None = None

    @classmethod
    def random(
        cls, c: ModelConfig, batch: int, action_draws: int = 1, device: torch.device | None = None
    ) -> TrainingDraw:
        """Draw from torch's global generator, on `device`.

        Args:
            c: the network's configuration.
            batch: B samples.
            action_draws: timesteps drawn for each action; more make the loss of one latent less noisy.
            device: where the batch is; None: torch's default.
        """

        def rows(draws: int, length: int, channels: int) -> RowDraw:
            return RowDraw.random(draws, batch, length, channels, c.train_timesteps, device)

        target = c.proprioception_target_dim
        # The order of these lines is the order of the random numbers: a seed repeats a run only while it stays.
        hide_past = torch.rand(batch, c.action_steps, device=device) < c.past_action_dropout if c.past_actions else None
        return cls(
            orders=random_orders(batch, c.tokens_per_frame, device=device),
            mask_ratios=random_mask_ratios(batch, device=device),
            video=rows(1, c.sequence_length, c.token_dim),
            wrist=rows(1, c.sequence_length, c.token_dim) if c.wrist_future else None,
            past_actions_missing=hide_past,
            actions=rows(action_draws, c.action_steps, c.action_dim),
            proprioception=rows(action_draws, c.action_steps, target) if target else None,
            text_missing=torch.rand(batch, device=device) < c.text_dropout if c.text_dim else None,
        )
