# SPDX-License-Identifier: Apache-2.0
"""Masked training (paper, section III-D): each sample sees what its mode gives and is scored on what it decodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from uva_core.config import ModelConfig
from uva_core.diffusion.denoising import TrainingDiffusion, TrainingTerms
from uva_core.modes import RULES, MaskMode
from uva_core.network.heads import SequenceHead
from uva_core.network.masking import random_mask_ratios, random_orders, training_mask
from uva_core.network.model import ModelInputs, Uva


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


@dataclass
class Losses:
    """Scalars, and what they come from: z, the mask (B, N) of hidden positions, and per-row terms."""

    total: Tensor
    video: Tensor
    action: Tensor
    proprioception: Tensor
    z: Tensor
    mask: Tensor
    terms: dict[str, TrainingTerms] = field(default_factory=dict)  # per row, by head


def mode_inputs(batch: TrainingBatch, modes: Sequence[MaskMode], draw: TrainingDraw) -> tuple[ModelInputs, Tensor]:
    """Hide what each sample's mode does not give. Returns the inputs and the mask (B, N) of hidden positions."""
    rules = [RULES[mode] for mode in modes]
    mask = training_mask(draw.orders, draw.mask_ratios)
    future_given = torch.tensor([rule.future_given for rule in rules])
    future_masked = torch.tensor([rule.future_masked for rule in rules])
    hidden = ~future_given[:, None] & (mask | ~future_masked[:, None])
    inputs = ModelInputs(
        history=batch.history,
        future=batch.future,
        future_missing=hidden,
        history_missing=torch.tensor([not rule.history_given for rule in rules]),
        actions=batch.actions,
        actions_missing=torch.tensor([not rule.actions_given for rule in rules]),
        past_actions=batch.past_actions,
        past_actions_missing=draw.past_actions_missing,
        proprioception=batch.proprioception,
        wrist_history=batch.wrist_history,
        wrist_future=batch.wrist_future,
        text=batch.text,
        text_missing=draw.text_missing,
    )
    return inputs, mask


def training_losses(
    model: Uva,
    diffusion: TrainingDiffusion,
    batch: TrainingBatch,
    modes: Sequence[MaskMode],
    draw: TrainingDraw,
) -> Losses:
    """Return the losses of one step.

    Video is scored on masked tokens of the samples whose mode decodes video (with a wrist camera: the sum of both
    cameras), actions on those whose mode decodes actions, robot state (where there is a head) on all. With one mode
    for all samples this is the published loss.

    Args:
        model: the network, or a wrapper that forwards `ModelInputs` and has its attributes.
        diffusion: constants of the training schedule.
        batch: B windows.
        modes: B modes.
        draw: the step's randomness.
    """
    inputs, mask = mode_inputs(batch, modes, draw)
    z = model(inputs)
    zero = z.sum() * 0.0  # keeps a head that has no sample in the graph: every rank must see every parameter
    losses = Losses(zero, zero, zero, zero, z, mask)

    video = torch.tensor([RULES[mode].decodes_video for mode in modes])
    if video.any():
        weight = mask[video].repeat(1, model.config.frames).float()[None].expand(len(draw.video.noise), -1, -1)
        cameras = {"video": (model.video_head, batch.future, draw.video)}
        if draw.wrist is not None and batch.wrist_future is not None:
            cameras["wrist"] = (model.wrist_video_head, batch.wrist_future, draw.wrist)
        for name, (head, frames, rows) in cameras.items():
            clean = model.patchify(frames[video])
            terms = losses.terms[name] = _row_terms(head.net, diffusion, clean, z[video], rows, video)
            losses.video = losses.video + (terms.loss * weight.flatten()).sum() / weight.sum()
    action = torch.tensor([RULES[mode].decodes_actions for mode in modes])
    if action.any():
        terms = losses.terms["action"] = _head_terms(
            model.action_head, diffusion, batch.actions, z, draw.actions, action
        )
        losses.action = terms.loss.mean()
    if draw.proprioception is not None and batch.proprioception_target is not None:
        everyone = torch.ones(len(modes), dtype=torch.bool)
        terms = losses.terms["proprioception"] = _head_terms(
            model.proprioception_head, diffusion, batch.proprioception_target, z, draw.proprioception, everyone
        )
        losses.proprioception = terms.loss.mean()
    losses.total = losses.video + losses.action + losses.proprioception
    return losses


def _head_terms(
    head: SequenceHead, diffusion: TrainingDiffusion, clean: Tensor, z: Tensor, draw: RowDraw, chosen: Tensor
) -> TrainingTerms:
    return _row_terms(head.net, diffusion, clean[chosen], head.condition(z[chosen]), draw, chosen)


def _row_terms(
    net: torch.nn.Module,
    diffusion: TrainingDiffusion,
    clean: Tensor,
    condition: Tensor,
    draw: RowDraw,
    chosen: Tensor,
) -> TrainingTerms:
    """Terms of every draw of every row: (draws * B' * L,)."""
    draws = len(draw.noise)
    return diffusion.terms(
        net,
        clean.flatten(0, 1).repeat(draws, 1),
        condition.flatten(0, 1).repeat(draws, 1),
        draw.timestep[:, chosen].flatten(),
        draw.noise[:, chosen].flatten(0, 2),
    )
