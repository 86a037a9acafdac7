# SPDX-License-Identifier: Apache-2.0
"""Diffusion over rows (video tokens, actions, robot states): training terms and samplers.

The schedule, its spacing and the reverse steps are those of diffusers' schedulers. What is added here is what
the published model needs and they lack: constants in float64 (the last step divides by sqrt(alpha-bar) = 5e-5,
which float32 products do not survive), noise and temperature from outside, and the variational training term.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from uva_core.config import SAMPLERS

Scheduler: TypeAlias = DDPMScheduler | DDIMScheduler
Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(noisy (R, C), timestep (R,), condition (R, Z)) -> (R, 2 C)"""


class TrainingTerms(NamedTuple):
    """Per-row training terms, each (R,)."""

    mse: Tensor  # squared error of the predicted noise
    variational: Tensor  # in bits; trains the variance only

    @property
    def loss(self) -> Tensor:
        """(R,) their sum, as published."""
        return self.mse + self.variational


@functools.cache
def cosine_betas(steps: int) -> np.ndarray:
    """Return the betas (steps,) of the cosine schedule (Nichol and Dhariwal 2021, eq. 17) in float64."""

    def alpha_bar(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    return np.array([min(1 - alpha_bar((i + 1) / steps) / alpha_bar(i / steps), 0.999) for i in range(steps)])


def make_scheduler(sampler: str, train_timesteps: int, steps: int, clip: float = 0.0) -> Scheduler:
    """Return a diffusers scheduler on the model's schedule, set to `steps` evenly spaced timesteps.

    Args:
        sampler: one of `SAMPLERS`.
        train_timesteps: length of the training schedule.
        steps: number of denoising steps, 2 to `train_timesteps`.
        clip: predicted clean values are kept in [-clip, clip] (1 for actions and robot state); 0: they are not clipped.

    Raises:
        ValueError: unknown sampler, or a number of steps outside the range.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"unknown sampler '{sampler}'; choose one of: {', '.join(SAMPLERS)}")
    if not 2 <= steps <= train_timesteps:
        raise ValueError(f"{steps} denoising steps; choose 2 to {train_timesteps}")
    common = {
        "num_train_timesteps": train_timesteps,
        "beta_schedule": "squaredcos_cap_v2",
        "clip_sample": clip > 0,
        "clip_sample_range": clip,
        "timestep_spacing": "linspace",
    }
    if sampler == "ddpm":
        scheduler = DDPMScheduler(variance_type="learned_range", **common)
    else:
        scheduler = DDIMScheduler(set_alpha_to_one=True, **common)
    scheduler.betas = torch.from_numpy(cosine_betas(train_timesteps))
    scheduler.alphas = 1.0 - scheduler.betas
    scheduler.alphas_cumprod = torch.cumprod(scheduler.alphas, dim=0)
    scheduler.set_timesteps(steps)
    return scheduler


def _ddpm_step(
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
    clean = (x - math.sqrt(1 - alpha_bar) * epsilon) / math.sqrt(alpha_bar)
    if scheduler.config.clip_sample:
        limit = scheduler.config.clip_sample_range
        clean = clean.clamp(-limit, limit)
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
    for index, t in enumerate(scheduler.timesteps.tolist()):
        output = denoiser(x, torch.full((len(x),), t, device=x.device), condition)
        if guidance != 1.0:
            epsilon, variance = output.chunk(2, dim=-1)
            conditional, unconditional = epsilon.chunk(2)
            epsilon = unconditional + guidance * (conditional - unconditional)
            output = torch.cat([torch.cat([epsilon, epsilon]), variance], dim=-1)
        if isinstance(scheduler, DDPMScheduler):
            x = _ddpm_step(scheduler, output, t, x, None if step_noise is None else step_noise[index], temperature)
        else:
            x = scheduler.step(output.chunk(2, dim=-1)[0], t, x).prev_sample
        if chain is not None:
            chain.append(x)
    return x


class TrainingDiffusion:
    """Noise prediction with learned-range variance on the full schedule (Nichol and Dhariwal 2021)."""

    def __init__(self, timesteps: int) -> None:
        """Tabulate the constants of a schedule of `timesteps` steps in float64."""
        betas = cosine_betas(timesteps)
        alpha_bar = np.cumprod(1 - betas)
        before = np.append(1.0, alpha_bar[:-1])
        posterior = betas * (1 - before) / (1 - alpha_bar)
        posterior[0] = posterior[1]  # the first is zero, and its logarithm is needed
        table = {
            "signal": np.sqrt(alpha_bar),
            "sigma": np.sqrt(1 - alpha_bar),
            "mean_clean": np.sqrt(before) * betas / (1 - alpha_bar),
            "mean_noisy": np.sqrt(1 - betas) * (1 - before) / (1 - alpha_bar),
            "log_posterior": np.log(posterior),
            "log_beta": np.log(betas),
        }
        self.timesteps = timesteps
        self._table = {name: torch.from_numpy(values).float() for name, values in table.items()}

    def _at(self, name: str, timestep: Tensor) -> Tensor:
        return self._table[name].to(timestep.device)[timestep][:, None]

    def terms(
        self, denoiser: Denoiser, clean: Tensor, condition: Tensor, timestep: Tensor, noise: Tensor
    ) -> TrainingTerms:
        """Return the training terms of each row.

        Args:
            denoiser: the head's network.
            clean: (R, C) clean rows.
            condition: (R, Z).
            timestep: (R,) integers in [0, timesteps).
            noise: (R, C).
        """
        noisy = self._at("signal", timestep) * clean + self._at("sigma", timestep) * noise
        epsilon, variance = denoiser(noisy, timestep, condition).float().chunk(2, dim=-1)
        mse = (epsilon - noise).square().mean(dim=-1)
        variational = self._variational(clean, noisy, epsilon.detach(), variance, timestep)
        return TrainingTerms(mse, variational)

    def _variational(self, clean: Tensor, noisy: Tensor, epsilon: Tensor, variance: Tensor, t: Tensor) -> Tensor:
        """KL to the true posterior, or the likelihood of the clean value at t = 0; mean over channels, in bits."""
        log_posterior, log_beta = self._at("log_posterior", t), self._at("log_beta", t)
        fraction = (variance + 1) / 2
        log_variance = fraction * log_beta + (1 - fraction) * log_posterior
        predicted_clean = (noisy - self._at("sigma", t) * epsilon) / self._at("signal", t)
        mean = self._at("mean_clean", t) * predicted_clean + self._at("mean_noisy", t) * noisy
        true_mean = self._at("mean_clean", t) * clean + self._at("mean_noisy", t) * noisy
        kl = 0.5 * (
            log_variance
            - log_posterior
            - 1
            + torch.exp(log_posterior - log_variance)
            + (true_mean - mean).square() * torch.exp(-log_variance)
        )
        bits = torch.where(t[:, None] == 0, -_binned_log_likelihood(clean, mean, log_variance), kl)
        return bits.mean(dim=-1) / math.log(2.0)


def _binned_log_likelihood(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log-probability of `x` under a Gaussian cut into bins of half-width 1/255; the outer bins are open."""
    inverse_std = torch.exp(-0.5 * log_variance)
    upper = _normal_cdf((x - mean + 1 / 255) * inverse_std)
    lower = _normal_cdf((x - mean - 1 / 255) * inverse_std)
    log_upper, log_above = upper.clamp(min=1e-12).log(), (1 - lower).clamp(min=1e-12).log()
    inside = (upper - lower).clamp(min=1e-12).log()
    return torch.where(x < -0.999, log_upper, torch.where(x > 0.999, log_above, inside))


def _normal_cdf(x: Tensor) -> Tensor:
    """Tanh approximation of the standard normal CDF; the published loss is defined with it."""
    return 0.5 * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))
