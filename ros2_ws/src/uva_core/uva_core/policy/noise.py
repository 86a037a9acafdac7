# SPDX-License-Identifier: Apache-2.0
"""TODO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from uva_core.network.masking import random_orders


@dataclass(frozen=True)
class RowNoise:
    """Noise of one head for B samples of L rows.

    Attributes:
        start: (B, L, C).
        steps: (B, steps, L, C) in the order taken; None: no noise is added.
    """

    start: Tensor
    steps: Tensor | None

    def rows(self, chosen: Tensor) -> tuple[Tensor, Tensor | None]:
        """Noise of the chosen (B, L) rows: (R, C) and (steps, R, C)."""
        return self.start[chosen], None if self.steps is None else self.steps.transpose(0, 1)[:, chosen]


class Noise:
    """Source of all randomness of a prediction: per sample, from its own generator.

    Subclasses may bring recorded tensors instead; predictions take either seeds or a source.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        """One seed per sample of the batch."""
        self.seeds = seeds
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    @classmethod
    def of(cls, seeds: Sequence[int] | Noise) -> Noise:
        """Return the source for `seeds`, or `seeds` itself where it is one."""
        return seeds if isinstance(seeds, Noise) else cls(seeds)

    def first(self) -> Noise:
        """Return a fresh source for the first sample alone."""
        return Noise(self.seeds[:1])

    def normal(self, *shape: int) -> Tensor:
        """(B, *shape)."""
        return torch.stack([torch.randn(shape, generator=g) for g in self.generators])

    def orders(self, positions: int) -> Tensor:
        """(B, N) generation orders."""
        return torch.cat([random_orders(1, positions, g) for g in self.generators])

    def rows(self, length: int, channels: int, steps: int) -> RowNoise:
        """Noise of a head: start (B, L, C) and, unless `steps` is 0, steps (B, steps, L, C)."""
        start = self.normal(length, channels)
        return RowNoise(start, self.normal(steps, length, channels) if steps else None)
