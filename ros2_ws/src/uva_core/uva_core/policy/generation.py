# SPDX-License-Identifier: Apache-2.0
"""From the joint latent to actions and frames: denoising the heads, and autoregressive video generation.

All noise comes from outside as tensors, one block per sample, so results depend neither on what else is in the batch
nor on hidden state. Shapes depend on the configuration alone, so nothing in these loops waits for a device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor

from uva_core.diffusion.denoising import sample
from uva_core.diffusion.schedule import Schedule
from uva_core.network.heads import SequenceHead
from uva_core.network.inputs import ModelInputs
from uva_core.network.masking import generation_counts, mask_from_order
from uva_core.network.model import Uva
from uva_core.policy.noise import RowNoise, take


@torch.no_grad()
def sample_sequence(head: SequenceHead, z: Tensor, schedule: Schedule, noise: RowNoise, temperature: float) -> Tensor:
    """Denoise a sequence of actions or robot states.

    Args:
        head: the action head or the robot-state head.
        z: (B, h N, D) joint latent.
        schedule: from `make_schedule(..., clip=1.0)`.
        noise: of B samples of T steps.
        temperature: factor on the noise of each denoising step.

    Returns:
        (B, T, A) normalized.
    """
    start, steps = noise.flat()
    rows = head.condition(z).flatten(0, 1)
    return sample(head.net, rows, start, schedule, temperature=temperature, step_noise=steps).view_as(noise.start)


@dataclass(frozen=True)
class GenerationStep:
    """What one autoregressive iteration did.

    Attributes:
        z: (B, h N, D) its joint latent.
        masked: (B, N) bool, positions that were not yet generated before it.
        filled: (B, N) bool, positions generated in it.
        share: of the positions that are generated after it; 1 when complete.
        video: (B, h, C, H, W) scaled latents after it; positions not yet generated are 0.
        wrist: the same of the wrist camera, where it is predicted.
    """

    z: Tensor
    masked: Tensor
    filled: Tensor
    share: float
    video: Tensor
    wrist: Tensor | None


@torch.no_grad()
def generate_video(
    model: Uva,
    inputs: ModelInputs,
    schedule: Schedule,
    noise: RowNoise,
    temperature: float,
    orders: Tensor,
    iterations: int = 1,
    wrist_noise: RowNoise | None = None,
    frames: Sequence[int] | None = None,
) -> Iterator[GenerationStep]:
    """Generate the future frames, a part of their positions in each iteration (paper, supplement A; MAR).

    Args:
        model: the network.
        inputs: what is given; its future fields are ignored.
        schedule: from `make_schedule(...)`.
        noise: of B samples, addressed by token.
        temperature: factor on the noise of each step.
        orders: (B, N) order of positions; they are filled from its end.
        iterations: 1 predicts all at once; more condition later positions on earlier ones.
        wrist_noise: the same for the wrist camera, where the model predicts it.
        frames: indices of the frames to generate in the last iteration, because later ones see the frames of earlier
            ones; None: all. The others keep what they were.

    Yields:
        The state after each iteration.

    Raises:
        ValueError: fewer than 1 or more iterations than positions.
    """
    c = model.config
    if not 1 <= iterations <= c.tokens_per_frame:
        raise ValueError(f"{iterations} generation iterations; choose 1 to {c.tokens_per_frame}")
    heads = {"future": (model.video_head, noise)}
    if c.wrist_future:
        if wrist_noise is None:
            raise ValueError("this model predicts the wrist camera, too, and no noise was given for it")
        heads["wrist_future"] = (model.wrist_video_head, wrist_noise)
    tokens = {name: torch.zeros_like(head_noise.start) for name, (_, head_noise) in heads.items()}
    dtype = inputs.history.dtype
    before, masked = c.tokens_per_frame, torch.ones_like(orders, dtype=torch.bool)
    for after in generation_counts(c.tokens_per_frame, iterations):
        given = {name: model.unpatchify(t.to(dtype)) for name, t in tokens.items()}
        z = model(replace(inputs, future_missing=masked, **given))
        still_masked = mask_from_order(orders, after)
        wanted = range(c.frames) if frames is None or after else frames
        rows = _rows(orders[:, after:before], c.tokens_per_frame, wanted)
        for name, (head, head_noise) in heads.items():
            start, steps = head_noise.at(rows)
            clean = sample(head.net, take(z, rows), start, schedule, temperature=temperature, step_noise=steps)
            index = rows[..., None].expand(-1, -1, c.token_dim)
            tokens[name] = tokens[name].scatter(1, index, clean.view(len(rows), -1, c.token_dim))
        made = {name: model.unpatchify(t) for name, t in tokens.items()}
        share = 1 - after / c.tokens_per_frame
        yield GenerationStep(z, masked, masked & ~still_masked, share, made["future"], made.get("wrist_future"))
        before, masked = after, still_masked


def _rows(positions: Tensor, tokens_per_frame: int, frames: Sequence[int]) -> Tensor:
    """Sequence indices, ascending, of positions (B, n) in each of the frames: (B, frames * n)."""
    spatial = positions.sort(dim=1).values
    parts = torch.stack([spatial + frame * tokens_per_frame for frame in sorted(frames)], dim=1)
    return rearrange(parts, "B frames n -> B (frames n)")
