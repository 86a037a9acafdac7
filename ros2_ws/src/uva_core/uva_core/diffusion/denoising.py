# SPDX-License-Identifier: Apache-2.0
"""Diffusion over rows (video tokens, actions, robot states): training terms and samplers.

The schedule, its spacing and the reverse steps are those of diffusers' schedulers. What is added here is what
the published model needs and they lack: constants in float64 (the last step divides by sqrt(alpha-bar) = 5e-5,
which float32 products do not survive), noise and temperature from outside, and the variational training term.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from uva_core.diffusion.schedule import Scheduler

Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(noisy (R, C), timestep (R,), condition (R, Z)) -> (R, 2 C)"""


def _clean(scheduler: Scheduler, epsilon: Tensor, alpha_bar: float, x: Tensor) -> Tensor:
    """The clean rows that the predicted noise stands for, clipped as the scheduler says. (R, C) -> (R, C)."""
    clean = (x - math.sqrt(1 - alpha_bar) * epsilon) / math.sqrt(alpha_bar)
    if scheduler.config.clip_sample:
        limit = scheduler.config.clip_sample_range
        clean = clean.clamp(-limit, limit)
    return clean


def ddpm_step(
    scheduler: DDPMScheduler,
    output: Tensor,
    timestep: int,
    x: Tensor,
    noise: Tensor | None,
    temperature: float,
) -> Tensor:
    """One reverse step with learned-range variance. x, noise: (R, C); output: (R, 2 C). Returns (R, C)."""
    epsilon, variance = output.chunk(2, dim=-1)
    previous = int(scheduler.previous_timestep(timestep))
    alpha_bar = float(scheduler.alphas_cumprod[timestep])
    alpha_bar_previous = float(scheduler.alphas_cumprod[previous]) if previous >= 0 else 1.0
    alpha = alpha_bar / alpha_bar_previous
    clean = _clean(scheduler, epsilon, alpha_bar, x)
    mean = (
        math.sqrt(alpha_bar_previous) * (1 - alpha) / (1 - alpha_bar) * clean
        + math.sqrt(alpha) * (1 - alpha_bar_previous) / (1 - alpha_bar) * x
    )
    if previous < 0 or noise is None:
        return mean
    log_variance = scheduler._get_variance(timestep, predicted_variance=variance)
    return mean + temperature * torch.exp(0.5 * log_variance) * noise


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    condition: Tensor,
    noise: Tensor,
    scheduler: Scheduler,
    *,
    temperature: float = 1.0,
    step_noise: Tensor | None = None,
    guidance: float = 1.0,
    chain: list[Tensor] | None = None,
) -> Tensor:
    """Denoise rows.

    Args:
        denoiser: the head's network.
        condition: (R, Z). With guidance, the first half of the rows is conditional, the second unconditional.
        noise: (R, C) start noise, unit variance.
        scheduler: from `make_scheduler`.
        temperature: factor on the noise of every step (the start noise is not scaled).
        step_noise: (steps, R, C) noise of each step in the order taken; None: no noise is added.
        guidance: scale of classifier-free guidance; 1 is none.
        chain: when given, the sample after each step is appended.

    Returns:
        (R, C) clean rows.
    """
    x = noise
    if isinstance(scheduler, DPMSolverMultistepScheduler):
        scheduler.set_timesteps(scheduler.num_inference_steps)  # forgets the last trajectory
    for index, t in enumerate(scheduler.timesteps.tolist()):
        output = denoiser(x, torch.full((len(x),), t, device=x.device), condition)
        if guidance != 1.0:
            epsilon, variance = output.chunk(2, dim=-1)
            conditional, unconditional = epsilon.chunk(2)
            epsilon = unconditional + guidance * (conditional - unconditional)
            output = torch.cat([torch.cat([epsilon, epsilon]), variance], dim=-1)
        if isinstance(scheduler, DDPMScheduler):
            x = ddpm_step(scheduler, output, t, x, None if step_noise is None else step_noise[index], temperature)
        else:
            prediction = output.chunk(2, dim=-1)[0]
            if isinstance(scheduler, DPMSolverMultistepScheduler):
                prediction = _clean(scheduler, prediction, float(scheduler.alphas_cumprod[t]), x)
            x = scheduler.step(prediction, t, x).prev_sample
        if chain is not None:
            chain.append(x)
    return x
