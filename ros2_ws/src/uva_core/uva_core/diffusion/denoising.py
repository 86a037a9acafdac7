# SPDX-License-Identifier: Apache-2.0
"""Denoise rows (video tokens, actions, robot states). All noise and the temperature come from outside."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from uva_core.diffusion.schedule import Schedule, Step

Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(noisy (R, C), timestep (R,), condition (R, Z)) -> (R, 2 C): C of noise, C of variance"""


def reverse_step(
    step: Step,
    output: Tensor,
    x: Tensor,
    *,
    clip: float = 0.0,
    noise: Tensor | None = None,
    temperature: float = 1.0,
    last_clean: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Take one reverse step.

    Args:
        step: its coefficients.
        output: (R, 2 C) of the denoiser.
        x: (R, C) noisy rows.
        clip: limit of predicted clean values; 0: none.
        noise: (R, C) fresh noise of ddpm; None: none is added.
        temperature: factor on it.
        last_clean: (R, C) clean rows that the step before predicted.

    Returns:
        The next rows and the predicted clean rows, each (R, C).
    """
    epsilon, variance = output.chunk(2, dim=-1)
    clean = (x - step.sigma * epsilon) / step.signal
    if clip:
        clean = clean.clamp(-clip, clip)
    result = step.from_clean * clean
    if step.from_row:
        result = result + step.from_row * x
    if step.from_noise:
        result = result + step.from_noise * epsilon
    if step.from_last and last_clean is not None:
        result = result + step.from_last * last_clean
    if noise is not None and step.log_beta is not None and step.log_posterior is not None:
        fraction = (variance + 1) / 2
        log_variance = fraction * step.log_beta + (1 - fraction) * step.log_posterior
        result = result + temperature * torch.exp(0.5 * log_variance) * noise
    return result, clean


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    condition: Tensor,
    noise: Tensor,
    schedule: Schedule,
    *,
    temperature: float = 1.0,
    step_noise: Tensor | None = None,
    guidance: float = 1.0,
    chain: list[Tensor] | None = None,
) -> Tensor:
    """Denoise rows in float32; the network computes in the type of `condition`.

    Args:
        denoiser: the head's network.
        condition: (R, Z). With guidance, the first half of the rows is conditional, the second unconditional.
        noise: (R, C) start noise, unit variance.
        schedule: from `make_schedule`.
        temperature: factor on the noise of every step (the start noise is not scaled).
        step_noise: (steps, R, C) noise of each step in the order taken; None: no noise is added.
        guidance: scale of classifier-free guidance; 1 is none.
        chain: when given, the sample after each step is appended.

    Returns:
        (R, C) clean rows.
    """
    x, clean = noise, None
    for index, step in enumerate(schedule.steps):
        timestep = torch.full((len(x),), step.timestep, device=x.device)
        output = denoiser(x.to(condition.dtype), timestep, condition).to(x.dtype)
        if guidance != 1.0:
            epsilon, variance = output.chunk(2, dim=-1)
            conditional, unconditional = epsilon.chunk(2)
            epsilon = unconditional + guidance * (conditional - unconditional)
            output = torch.cat([torch.cat([epsilon, epsilon]), variance], dim=-1)
        fresh = None if step_noise is None else step_noise[index]
        x, clean = reverse_step(
            step, output, x, clip=schedule.clip, noise=fresh, temperature=temperature, last_clean=clean
        )
        if chain is not None:
            chain.append(x)
    return x
