# SPDX-License-Identifier: Apache-2.0
"""Linear normalization of actions and robot states to about [-1, 1]."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

CONSTANT_RANGE = 1e-4  # a dimension that varies less than this is only shifted (official rule)


class LinearNormalizer(nn.Module):
    """y = x * scale + offset over the last dimension, and back."""

    scale: Tensor
    offset: Tensor

    def __init__(self, dim: int) -> None:
        """Start as the identity on `dim` numbers."""
        super().__init__()
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("offset", torch.zeros(dim))

    @classmethod
    def fit_limits(cls, data: Tensor, minimum_range: float = CONSTANT_RANGE, outliers: float = 0.0) -> LinearNormalizer:
        """Map the limits of `data` (n, dim) to [-1, 1].

        Args:
            data: samples in task units.
            outliers: fraction of samples at either end of a dimension that may lie outside [-1, 1].
            minimum_range: dimensions that vary less are scaled as if they varied this much about their centre, so
                that millimetre noise in a dimension that does not matter is not blown up to full scale.
        """
        low, high = (torch.from_numpy(np.quantile(data.numpy(), q, axis=0)).float() for q in (outliers, 1 - outliers))
        constant = (high - low) < CONSTANT_RANGE
        widen = ((minimum_range - (high - low)) / 2).clamp(min=0.0)
        low, high = torch.where(constant, low, low - widen), torch.where(constant, high, high + widen)
        normalizer = cls(data.shape[-1])
        normalizer.scale = torch.where(constant, torch.ones_like(low), 2 / (high - low).clamp(min=CONSTANT_RANGE))
        normalizer.offset = torch.where(constant, -low, -1 - normalizer.scale * low)
        return normalizer

    def normalize(self, x: Tensor) -> Tensor:
        """Task units -> model units. (..., dim)."""
        return x * self.scale + self.offset

    def unnormalize(self, y: Tensor) -> Tensor:
        """Model units -> task units. (..., dim)."""
        return (y - self.offset) / self.scale
