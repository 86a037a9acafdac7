# SPDX-License-Identifier: Apache-2.0
"""From the joint latent to actions and frames: denoising the heads, and autoregressive video generation.

All noise comes from outside as tensors, one block per sample, so results neither depend on what else is in the batch
nor on hidden state. `Noise` draws it from one seed per sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from uva_core.diffusion import Scheduler, sample
from uva_core.masking import generation_counts, mask_from_order, random_orders
from uva_core.model import ModelInputs, Uva


class Noise:
    """Standard normal numbers, drawn per sample from its own generator."""

    def __init__(self, seeds: Sequence[int]) -> None:
        """One seed per sample of the batch."""
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def normal(self, *shape: int) -> Tensor:
        """(B, *shape)."""
        return torch.stack([torch.randn(shape, generator=g) for g in self.generators])

    def orders(self, positions: int) -> Tensor:
        """(B, N) generation orders."""
        return torch.cat([random_orders(1, positions, g) for g in self.generators])


@torch.no_grad()
def sample_actions(
    model: Uva, z: Tensor, scheduler: Scheduler, noise: Tensor, step_noise: Tensor | None, temperature: float
) -> Tensor:
    """Denoise the action chunk.

    Args:
        model: the network.
        z: (B, h N, D) joint latent.
        scheduler: from `make_scheduler(..., clip=1.0)`.
        noise: (B, T, A) start noise.
        step_noise: (B, steps, T, A) noise of each step in the order taken; None: no noise is added.
        temperature: factor on the step noise.

    Returns:
        (B, T, A) normalized actions.
    """
    head = model.action_head
    rows = head.condition(z).flatten(0, 1)
    steps = None if step_noise is None else step_noise.transpose(0, 1).flatten(1, 2)
    actions = sample(head.net, rows, noise.flatten(0, 1), scheduler, temperature=temperature, step_noise=steps)
    return actions.view_as(noise)


@torch.no_grad()
def generate_video(
    model: Uva,
    inputs: ModelInputs,
    scheduler: Scheduler,
    noise: Tensor,
    step_noise: Tensor | None,
    temperature: float,
    orders: Tensor,
    iterations: int = 1,
) -> Iterator[Tensor]:
    """Generate the future frames, a part of their positions in each iteration (paper, supplement A; MAR).

    Args:
        model: the network.
        inputs: what is given; its future fields are ignored.
        scheduler: from `make_scheduler(...)`.
        noise: (B, h N, C) start noise, addressed by token.
        step_noise: (B, steps, h N, C), or None: no noise is added.
        temperature: factor on the step noise.
        orders: (B, N) order of positions; they are filled from its end.
        iterations: 1 predicts all at once; more condition later positions on earlier ones.

    Yields:
        (B, h, C, H, W) scaled latents after each iteration; positions not yet generated are 0.

    Raises:
        ValueError: fewer than 1 or more iterations than positions.
    """
    c = model.config
    if not 1 <= iterations <= c.tokens_per_frame:
        raise ValueError(f"{iterations} generation iterations; choose 1 to {c.tokens_per_frame}")
    batch = len(orders)
    tokens = torch.zeros(batch, c.sequence_length, c.token_dim)
    masked = torch.ones(batch, c.tokens_per_frame, dtype=torch.bool)
    for count in generation_counts(c.tokens_per_frame, iterations):
        future = None if bool(masked.all()) else model.unpatchify(tokens)
        z = model(replace(inputs, future=future, future_missing=masked))
        still_masked = mask_from_order(orders, torch.full((batch,), count))
        rows = (masked & ~still_masked).repeat(1, c.frames)  # (B, h N)
        steps = None if step_noise is None else step_noise.transpose(0, 1)[:, rows]
        tokens[rows] = sample(
            model.video_head.net, z[rows], noise[rows], scheduler, temperature=temperature, step_noise=steps
        )
        masked = still_masked
        yield model.unpatchify(tokens)
