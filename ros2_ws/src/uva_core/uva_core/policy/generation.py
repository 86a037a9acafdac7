# SPDX-License-Identifier: Apache-2.0
"""From the joint latent to actions and frames: denoising the heads, and autoregressive video generation.

All noise comes from outside as tensors, one block per sample, so results neither depend on what else is in the batch
nor on hidden state. `Noise` draws it from one seed per sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from uva_core.diffusion.denoising import sample
from uva_core.diffusion.schedule import Scheduler
from uva_core.network.heads import SequenceHead
from uva_core.network.masking import generation_counts, mask_from_order
from uva_core.network.model import ModelInputs, Uva
from uva_core.policy.noise import RowNoise


@torch.no_grad()
def sample_sequence(head: SequenceHead, z: Tensor, scheduler: Scheduler, noise: RowNoise, temperature: float) -> Tensor:
    """Denoise a sequence of actions or robot states.

    Args:
        head: the action head or the robot-state head.
        z: (B, h N, D) joint latent.
        scheduler: from `make_scheduler(..., clip=1.0)`.
        noise: of B samples of T steps.
        temperature: factor on the noise of each denoising step.

    Returns:
        (B, T, A) normalized.
    """
    everything = torch.ones(noise.start.shape[:2], dtype=torch.bool)
    start, steps = noise.rows(everything)
    rows = head.condition(z).flatten(0, 1)
    return sample(head.net, rows, start, scheduler, temperature=temperature, step_noise=steps).view_as(noise.start)


@dataclass(frozen=True)
class GenerationStep:
    """What one autoregressive iteration did.

    Attributes:
        z: (B, h N, D) its joint latent.
        masked: (B, N) bool, positions that were not yet generated before it.
        filled: (B, N) bool, positions generated in it.
        video: (B, h, C, H, W) scaled latents after it; positions not yet generated are 0.
        wrist: the same of the wrist camera, where it is predicted.
    """

    z: Tensor
    masked: Tensor
    filled: Tensor
    video: Tensor
    wrist: Tensor | None


@torch.no_grad()
def generate_video(
    model: Uva,
    inputs: ModelInputs,
    scheduler: Scheduler,
    noise: RowNoise,
    temperature: float,
    orders: Tensor,
    iterations: int = 1,
    wrist_noise: RowNoise | None = None,
) -> Iterator[GenerationStep]:
    """Generate the future frames, a part of their positions in each iteration (paper, supplement A; MAR).

    Args:
        model: the network.
        inputs: what is given; its future fields are ignored.
        scheduler: from `make_scheduler(...)`.
        noise: of B samples, addressed by token.
        temperature: factor on the noise of each step.
        orders: (B, N) order of positions; they are filled from its end.
        iterations: 1 predicts all at once; more condition later positions on earlier ones.
        wrist_noise: the same for the wrist camera, where the model predicts it.

    Yields:
        The state after each iteration.

    Raises:
        ValueError: fewer than 1 or more iterations than positions.
    """
    c = model.config
    if not 1 <= iterations <= c.tokens_per_frame:
        raise ValueError(f"{iterations} generation iterations; choose 1 to {c.tokens_per_frame}")
    batch = len(orders)
    heads = {"future": (model.video_head, noise)}
    if c.wrist_future:
        if wrist_noise is None:
            raise ValueError("this model predicts the wrist camera, too, and no noise was given for it")
        heads["wrist_future"] = (model.wrist_video_head, wrist_noise)
    tokens = {name: torch.zeros(batch, c.sequence_length, c.token_dim) for name in heads}
    masked = torch.ones(batch, c.tokens_per_frame, dtype=torch.bool)
    for count in generation_counts(c.tokens_per_frame, iterations):
        frames = {name: model.unpatchify(t) for name, t in tokens.items()}
        z = model(replace(inputs, future_missing=masked, **frames))
        still_masked = mask_from_order(orders, torch.full((batch,), count))
        filled = masked & ~still_masked
        rows = filled.repeat(1, c.frames)  # (B, h N)
        for name, (head, head_noise) in heads.items():
            start, steps = head_noise.rows(rows)
            tokens[name][rows] = sample(head.net, z[rows], start, scheduler, temperature=temperature, step_noise=steps)
        frames = {name: model.unpatchify(t) for name, t in tokens.items()}
        yield GenerationStep(z, masked, filled, frames["future"], frames.get("wrist_future"))
        masked = still_masked
