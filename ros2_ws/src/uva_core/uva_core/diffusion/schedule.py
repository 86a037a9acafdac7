# SPDX-License-Identifier: Apache-2.0
"""The noise schedule, and for each sampler the coefficients of its steps as plain numbers.

The timesteps and steps are those of diffusers' schedulers (tests compare them). Coefficients are tables of Python
floats in double precision: the last step divides by sqrt(alpha-bar) = 5e-5, which products in float32 do not survive,
and a loop over numbers never waits for a device.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uva_core.diffusion.config import SAMPLERS

LAMBDA_MIN = -5.1  # dpmsolver++ starts where some signal is left in the noise: log signal-to-noise ratio


@functools.cache
def cosine_betas(steps: int) -> np.ndarray:
    """Return the betas (steps,) of the cosine schedule (Nichol and Dhariwal 2021, eq. 17) in float64."""

    def alpha_bar(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    return np.array([min(1 - alpha_bar((i + 1) / steps) / alpha_bar(i / steps), 0.999) for i in range(steps)])


class Step(NamedTuple):
    """One reverse step from a row x and its predicted noise; `clean` is (x - sigma * noise) / signal, clipped.

    The next row is  from_clean * clean + from_row * x + from_noise * noise + from_last * (clean of the step before),
    plus, for ddpm, fresh noise whose log variance the network chooses between `log_posterior` and `log_beta`.
    """

    timestep: int
    signal: float  # sqrt(alpha-bar)
    sigma: float  # sqrt(1 - alpha-bar)
    from_clean: float
    from_row: float = 0.0
    from_noise: float = 0.0
    from_last: float = 0.0
    log_posterior: float | None = None  # None: no fresh noise
    log_beta: float | None = None


@dataclass(frozen=True)
class Schedule:
    """The steps of a sampler, noisiest first.

    Attributes:
        steps: their coefficients.
        clip: predicted clean values are kept in [-clip, clip]; 0: they are not clipped.
    """

    steps: tuple[Step, ...]
    clip: float

    @property
    def timesteps(self) -> list[int]:
        """Timesteps in the order taken."""
        return [step.timestep for step in self.steps]


@functools.lru_cache(maxsize=64)
def make_schedule(sampler: str, train_timesteps: int, steps: int, clip: float = 0.0) -> Schedule:
    """Return the schedule of `steps` evenly spaced timesteps.

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
    if sampler == "dpmsolver++":
        return Schedule(_dpmsolver_steps(_alpha_bar(train_timesteps), steps), clip)
    timesteps = np.linspace(0, train_timesteps - 1, steps).round().astype(int)[::-1]
    make = ddpm_steps if sampler == "ddpm" else _ddim_steps
    return Schedule(make(_alpha_bar(train_timesteps), timesteps), clip)


def _alpha_bar(train_timesteps: int) -> NDArray[np.float64]:
    return np.cumprod(1 - cosine_betas(train_timesteps))


def _pairs(alpha_bar: NDArray[np.float64], timesteps: NDArray[np.int64]) -> list[tuple[int, float, float]]:
    """Return each timestep with its alpha-bar and that of the next cleaner one, which is 1 at the end."""
    kept = [float(alpha_bar[t]) for t in timesteps] + [1.0]
    return [(int(t), kept[i], kept[i + 1]) for i, t in enumerate(timesteps)]


def ddpm_steps(alpha_bar: NDArray[np.float64], timesteps: NDArray[np.int64]) -> tuple[Step, ...]:
    """Return the steps of ancestral sampling with learned-range variance (Nichol and Dhariwal 2021, eq. 15).

    Args:
        alpha_bar: (train_timesteps,).
        timesteps: noisiest first.
    """
    steps = []
    for t, now, then in _pairs(alpha_bar, timesteps):
        alpha = now / then
        last = then == 1.0
        steps.append(
            Step(
                t,
                math.sqrt(now),
                math.sqrt(1 - now),
                from_clean=math.sqrt(then) * (1 - alpha) / (1 - now),
                from_row=math.sqrt(alpha) * (1 - then) / (1 - now),
                log_posterior=None if last else math.log((1 - then) / (1 - now) * (1 - alpha)),
                log_beta=None if last else math.log(1 - alpha),
            )
        )
    return tuple(steps)


def _ddim_steps(alpha_bar: NDArray[np.float64], timesteps: NDArray[np.int64]) -> tuple[Step, ...]:
    """Return deterministic steps (Song et al. 2021, eq. 12 with eta = 0)."""
    return tuple(
        Step(t, math.sqrt(now), math.sqrt(1 - now), from_clean=math.sqrt(then), from_noise=math.sqrt(1 - then))
        for t, now, then in _pairs(alpha_bar, timesteps)
    )


def _dpmsolver_steps(alpha_bar: NDArray[np.float64], count: int) -> tuple[Step, ...]:
    """Return the steps of DPM-Solver++(2M) (Lu et al. 2022, algorithm 2); first and last are of first order."""
    half_log_snr = 0.5 * np.log(alpha_bar / (1 - alpha_bar))
    start = len(alpha_bar) - int(np.searchsorted(half_log_snr[::-1], LAMBDA_MIN)) - 1
    timesteps = np.linspace(0, start, count + 1).round().astype(int)[:0:-1]
    level = [float(half_log_snr[t]) for t in timesteps]
    steps: list[Step] = []
    for i, (t, now, then) in enumerate(_pairs(alpha_bar, timesteps)):
        signal, sigma = math.sqrt(now), math.sqrt(1 - now)
        if i == count - 1:  # to the clean row
            steps.append(Step(t, signal, sigma, from_clean=1.0))
            continue
        width = level[i + 1] - level[i]
        gain = -math.sqrt(then) * math.expm1(-width)
        slope = 0.0 if i == 0 else gain * 0.5 * width / (level[i] - level[i - 1])
        row = math.sqrt(1 - then) / sigma
        steps.append(Step(t, signal, sigma, from_clean=gain + slope, from_row=row, from_last=-slope))
    return tuple(steps)


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
