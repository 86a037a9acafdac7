# SPDX-License-Identifier: Apache-2.0
"""Which positions are masked: the random masks of training and the schedule of autoregressive generation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MASK_RATIO_MEAN, MASK_RATIO_STD, MASK_RATIO_MIN = 1.0, 0.25, 0.7  # truncated normal, after MAR


def random_orders(
    batch: int, positions: int, generator: torch.Generator | None = None, device: torch.device | None = None
) -> Tensor:
    """Return (B, N) permutations of the spatial positions, one per sample, on `device`."""
    return torch.rand(batch, positions, generator=generator, device=device).argsort(dim=1)


def random_mask_ratios(
    batch: int, generator: torch.Generator | None = None, device: torch.device | None = None
) -> Tensor:
    """Return (B,) training mask ratios on `device`: a normal distribution cut to [0.7, 1], by inverting its CDF."""

    def cdf(x: float) -> float:
        return 0.5 * (1 + math.erf((x - MASK_RATIO_MEAN) / (MASK_RATIO_STD * math.sqrt(2))))

    low, high = cdf(MASK_RATIO_MIN), cdf(1.0)
    uniform = torch.rand(batch, generator=generator, dtype=torch.float64, device=device) * (high - low) + low
    standard = math.sqrt(2) * torch.erfinv(2 * uniform - 1)
    ratios = MASK_RATIO_MEAN + MASK_RATIO_STD * standard
    return ratios.clamp(MASK_RATIO_MIN, 1.0).float()


def mask_from_order(orders: Tensor, counts: Tensor | int) -> Tensor:
    """Mask the first positions of each order: `counts[b]`, or the same number in all. (B, N) -> (B, N) bool."""
    rank = orders.argsort(dim=1)
    return rank < (counts if isinstance(counts, int) else counts[:, None])


def training_mask(orders: Tensor, ratios: Tensor) -> Tensor:
    """Mask ceil(N * ratio) positions of each sample. (B, N), (B,) -> (B, N) bool."""
    counts = torch.ceil(orders.shape[1] * ratios.double()).long()
    return mask_from_order(orders, counts)


def generation_counts(positions: int, iterations: int) -> list[int]:
    """Return how many positions are still masked after each iteration; the last entry is 0 (MaskGIT, cosine)."""
    counts, masked = [], positions
    for s in range(1, iterations + 1):
        wanted = math.floor(positions * math.cos(math.pi / 2 * s / iterations))
        masked = 0 if s == iterations else max(1, min(masked - 1, wanted))
        counts.append(masked)
    return counts
