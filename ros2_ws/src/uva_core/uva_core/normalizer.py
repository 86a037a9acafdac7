# SPDX-License-Identifier: Apache-2.0
"""Linear normalization of actions and robot states to about [-1, 1]."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

CONSTANT_RANGE = 1e-4  # a dimension that varies less than this is only shifted (official rule)
CONSTANT_POSITION_RANGE = 1e-7  # the same of the positions of absolute actions


class Statistics(NamedTuple):
    """Of every dimension of some data, each (dim,)."""

    minimum: Tensor
    maximum: Tensor
    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, data: Tensor, *, unbiased: bool = True) -> Statistics:
        """Compute them of `data` (n, dim); `unbiased`: the standard deviation divides by n - 1."""
        return cls(data.amin(0), data.amax(0), data.mean(0), data.std(0, unbiased=unbiased))

    @classmethod
    def uniform(cls, low: Tensor, high: Tensor) -> Statistics:
        """Return those of a uniform distribution from `low` to `high` (dim,)."""
        return cls(low, high, (low + high) / 2, (high - low) / 12**0.5)


class LinearNormalizer(nn.Module):
    """y = x * scale + offset over the last dimension, and back.

    Attributes:
        scale, offset: (dim,) what a checkpoint stores.
        statistics: of what it was fitted on, in task units; not stored.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, dim: int) -> None:
        """Start as the identity on `dim` numbers."""
        super().__init__()
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("offset", torch.zeros(dim))
        self.statistics = Statistics(-torch.ones(dim), torch.ones(dim), torch.zeros(dim), torch.ones(dim))

    @classmethod
    def of_range(cls, low: Tensor, high: Tensor, constant_range: float = CONSTANT_RANGE) -> LinearNormalizer:
        """Map `low` to -1 and `high` to 1, each (dim,); where they are closer than `constant_range`, `low` to 0."""
        constant = (high - low) < constant_range
        normalizer = cls(len(low))
        normalizer.scale = torch.where(constant, torch.ones_like(low), 2 / (high - low).clamp(min=constant_range))
        normalizer.offset = torch.where(constant, -low, -1 - normalizer.scale * low)
        normalizer.statistics = Statistics.uniform(low, high)
        return normalizer

    @classmethod
    def fit_limits(
        cls,
        data: Tensor,
        minimum_range: float = CONSTANT_RANGE,
        outliers: float = 0.0,
        constant_range: float = CONSTANT_RANGE,
    ) -> LinearNormalizer:
        """Map the limits of `data` (n, dim) to [-1, 1].

        Args:
            data: samples in task units.
            outliers: fraction of samples at either end of a dimension that may lie outside [-1, 1].
            minimum_range: dimensions that vary less are scaled as if they varied this much about their centre, so
                that millimetre noise in a dimension that does not matter is not blown up to full scale.
            constant_range: dimensions that vary less than this are only shifted.
        """
        low, high = (torch.from_numpy(np.quantile(data.numpy(), q, axis=0)).float() for q in (outliers, 1 - outliers))
        constant = (high - low) < constant_range
        widen = ((minimum_range - (high - low)) / 2).clamp(min=0.0)
        low, high = torch.where(constant, low, low - widen), torch.where(constant, high, high + widen)
        normalizer = cls.of_range(low, high, constant_range)
        normalizer.statistics = Statistics.of(data)
        return normalizer

    @classmethod
    def fit_gaussian(cls, data: Tensor) -> LinearNormalizer:
        """Map mean and standard deviation of `data` (n, dim) to 0 and 1; constant dimensions are only shifted."""
        statistics = Statistics.of(data)
        normalizer = cls(data.shape[-1])
        constant = statistics.std < CONSTANT_RANGE
        normalizer.scale = 1 / torch.where(constant, torch.ones_like(statistics.std), statistics.std)
        normalizer.offset = -statistics.mean * normalizer.scale
        normalizer.statistics = statistics
        return normalizer

    @classmethod
    def fit_absolute_actions(cls, data: Tensor) -> LinearNormalizer:
        """Map the positions of absolute poses `data` (n, 3 + ...) to [-1, 1], and leave all that follows as it is."""
        position = data[:, :3]
        limits = cls.fit_limits(position, minimum_range=0.0, constant_range=CONSTANT_POSITION_RANGE)
        normalizer = cls(data.shape[-1])
        normalizer.scale[:3], normalizer.offset[:3] = limits.scale, limits.offset
        fitted = zip(Statistics.of(position, unbiased=False), normalizer.statistics, strict=True)
        normalizer.statistics = Statistics(*(torch.cat([ours, unit[3:]]) for ours, unit in fitted))
        return normalizer

    def normalize(self, x: Tensor) -> Tensor:
        """Task units -> model units. (..., dim)."""
        return x * self.scale + self.offset

    def unnormalize(self, y: Tensor) -> Tensor:
        """Model units -> task units. (..., dim)."""
        return (y - self.offset) / self.scale
