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
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from uva_core.config import SAMPLERS

Scheduler: TypeAlias = DDPMScheduler | DDIMScheduler | DPMSolverMultistepScheduler
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
        "timestep_spacing": "linspace",
    }
    clipping = {"clip_sample": clip > 0, "clip_sample_range": clip}
    scheduler: Scheduler
    if sampler == "ddpm":
        scheduler = DDPMScheduler(variance_type="learned_range", **common, **clipping)
    elif sampler == "ddim":
        scheduler = DDIMScheduler(set_alpha_to_one=True, **common, **clipping)
    else:
        # Starts where some signal is left in the noise. It cannot clip, so `sample` gives it clean values.
        scheduler = DPMSolverMultistepScheduler(prediction_type="sample", lambda_min_clipped=-5.1, **common)
        scheduler.register_to_config(**clipping)
    scheduler.betas = torch.from_numpy(cosine_betas(train_timesteps))
    scheduler.alphas = 1.0 - scheduler.betas
    scheduler.alphas_cumprod = torch.cumprod(scheduler.alphas, dim=0)
    scheduler.set_timesteps(steps)
    return scheduler


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


class TrainingDiffusion:
    """Noise prediction with learned-range variance on the full schedule (Nichol and Dhariwal 2021)."""

    def __init__(self, timesteps: int) -> None:
        """Tabulate the constants of a schedule of `timesteps` steps in float64."""
        constants = Constants.of(cosine_betas(timesteps))
        table = {
            "signal": np.sqrt(constants.alpha_bar),
            "sigma": np.sqrt(1 - constants.alpha_bar),
            "mean_clean": constants.mean_clean,
            "mean_noisy": constants.mean_noisy,
            "log_posterior": constants.log_posterior,
            "log_beta": np.log(constants.beta),
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


class Constants(NamedTuple):
    """Constants of a schedule of n steps, each (n,) float64, the cleanest step first."""

    alpha_bar: np.ndarray  # share of the signal in the variance
    beta: np.ndarray  # variance that a step adds
    mean_clean: np.ndarray  # weight of the clean row in the mean of the step before
    mean_noisy: np.ndarray  # weight of the noisy row in it
    log_posterior: np.ndarray  # log variance of the step before, given the clean row

    @classmethod
    def of(cls, beta: np.ndarray) -> Constants:
        """Derive everything from the betas (n,)."""
        alpha_bar = np.cumprod(1 - beta)
        before = np.append(1.0, alpha_bar[:-1])
        posterior = beta * (1 - before) / (1 - alpha_bar)
        posterior[0] = posterior[1]  # the first is zero, and its logarithm is needed
        return cls(
            alpha_bar=alpha_bar,
            beta=beta,
            mean_clean=np.sqrt(before) * beta / (1 - alpha_bar),
            mean_noisy=np.sqrt(1 - beta) * (1 - before) / (1 - alpha_bar),
            log_posterior=np.log(posterior),
        )


def spaced_timesteps(train_timesteps: int, spacing: str) -> list[int]:
    """Return the timesteps that a spacing keeps, ascending.

    Args:
        train_timesteps: length of the training schedule.
        spacing: `16`: that many, evenly spaced with both ends; `5,3`: the schedule in that many equal sections, so many
            of each; `ddim16`: the smallest whole stride from 0 that gives that many.

    Raises:
        ValueError: no such stride, or more timesteps than a section has.
    """
    if spacing.startswith("ddim"):
        wanted = int(spacing.removeprefix("ddim"))
        for stride in range(1, train_timesteps):
            kept = range(0, train_timesteps, stride)
            if len(kept) == wanted:
                return list(kept)
        raise ValueError(f"no whole stride keeps {wanted} of {train_timesteps} timesteps")
    timesteps = []
    sections = np.array_split(np.arange(train_timesteps), spacing.count(",") + 1)
    for section, count in zip(sections, spacing.split(","), strict=True):
        if not 1 <= int(count) <= len(section):
            raise ValueError(f"cannot keep {count} of {len(section)} timesteps")
        timesteps += [int(t) for t in np.linspace(section[0], section[-1], int(count)).round()]
    return timesteps


def spaced_scheduler(train_timesteps: int, spacing: str, clip: float = 0.0) -> DDPMScheduler:
    """Return a `ddpm` scheduler, see `make_scheduler`, set to a spacing, see `spaced_timesteps`.

    Raises:
        ValueError: there is no such spacing.
    """
    timesteps = spaced_timesteps(train_timesteps, spacing)
    scheduler: DDPMScheduler = make_scheduler("ddpm", train_timesteps, len(timesteps), clip)
    scheduler.set_timesteps(timesteps=timesteps[::-1])
    return scheduler


def constants_of(scheduler: Scheduler) -> Constants:
    """Return the constants of the timesteps to which a scheduler is set: betas are those between the kept ones."""
    alpha_bar = scheduler.alphas_cumprod[scheduler.timesteps.flip(0)].numpy()
    return Constants.of(1 - alpha_bar / np.append(1.0, alpha_bar[:-1]))
