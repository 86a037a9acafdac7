# SPDX-License-Identifier: Apache-2.0
"""Training terms of diffusion over rows: squared error of the noise, and the variational bound of the variance."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from uva_core.devices import to_device
from uva_core.diffusion.denoising import Denoiser
from uva_core.diffusion.schedule import Constants, cosine_betas


class TrainingTerms(NamedTuple):
    """Per-row training terms, each (R,)."""

    mse: Tensor  # squared error of the predicted noise
    variational: Tensor  # in bits; trains the variance only

    @property
    def loss(self) -> Tensor:
        """(R,) their sum, as published."""
        return self.mse + self.variational


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
        self._tables = {torch.device("cpu"): {n: torch.from_numpy(values).float() for n, values in table.items()}}

    def constant(self, name: str, timestep: Tensor) -> Tensor:
        """Return a constant of the schedule (R, 1) at timesteps (R,); each device keeps a copy of the tables."""
        if timestep.device not in self._tables:
            here = self._tables[torch.device("cpu")]
            self._tables[timestep.device] = {n: to_device(values, timestep.device) for n, values in here.items()}
        return self._tables[timestep.device][name][timestep][:, None]

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
        noisy = self.constant("signal", timestep) * clean + self.constant("sigma", timestep) * noise
        epsilon, variance = denoiser(noisy, timestep, condition).float().chunk(2, dim=-1)
        mse = (epsilon - noise).square().mean(dim=-1)
        variational = self._variational(clean, noisy, epsilon.detach(), variance, timestep)
        return TrainingTerms(mse, variational)

    def _variational(self, clean: Tensor, noisy: Tensor, epsilon: Tensor, variance: Tensor, t: Tensor) -> Tensor:
        """KL to the true posterior, or the likelihood of the clean value at t = 0; mean over channels, in bits."""
        log_posterior, log_beta = self.constant("log_posterior", t), self.constant("log_beta", t)
        fraction = (variance + 1) / 2
        log_variance = fraction * log_beta + (1 - fraction) * log_posterior
        predicted_clean = (noisy - self.constant("sigma", t) * epsilon) / self.constant("signal", t)
        mean = self.constant("mean_clean", t) * predicted_clean + self.constant("mean_noisy", t) * noisy
        true_mean = self.constant("mean_clean", t) * clean + self.constant("mean_noisy", t) * noisy
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
