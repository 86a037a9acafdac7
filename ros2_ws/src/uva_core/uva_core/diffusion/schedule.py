# SPDX-License-Identifier: Apache-2.0
"""TODO."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from uva_core.diffusion.config import SAMPLERS

Scheduler: TypeAlias = DDPMScheduler | DDIMScheduler | DPMSolverMultistepScheduler


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
