# SPDX-License-Identifier: Apache-2.0
"""The randomness of a prediction: one seed per sample, drawn on the host, so that devices give the same result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from uva_core.devices import to_device
from uva_core.network.masking import random_orders


def take(rows: Tensor, index: Tensor) -> Tensor:
    """Choose rows of each sample. (B, L, C), (B, R) -> (B * R, C)."""
    return rows.gather(1, index[..., None].expand(-1, -1, rows.shape[-1])).flatten(0, 1)


@dataclass(frozen=True)
class RowNoise:
    """Noise of one head for B samples of L rows.

    Attributes:
        start: (B, L, C).
        steps: (B, steps, L, C) in the order taken; None: no noise is added.
    """

    start: Tensor
    steps: Tensor | None

    def flat(self) -> tuple[Tensor, Tensor | None]:
        """Return the noise of all rows: (B * L, C) and (steps, B * L, C)."""
        return self.start.flatten(0, 1), None if self.steps is None else self.steps.transpose(0, 1).flatten(1, 2)

    def at(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the noise of chosen rows (B, R): (B * R, C) and (steps, B * R, C)."""
        if self.steps is None:
            return take(self.start, index), None
        return take(self.start, index), torch.stack([take(step, index) for step in self.steps.unbind(1)])


class Noise:
    """Source of all randomness of a prediction: per sample, from its own generator.

    Subclasses may bring recorded tensors instead; predictions take either seeds or a source.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        """Take one seed per sample of the batch; tensors are drawn on the host and copied to `device`."""
        self.seeds = seeds
        self.device = device
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    @classmethod
    def of(cls, seeds: Sequence[int] | Noise, device: torch.device | str = "cpu") -> Noise:
        """Return the source for `seeds`, or `seeds` itself where it is one."""
        return seeds if isinstance(seeds, Noise) else cls(seeds, device)

    def first(self) -> Noise:
        """Return a fresh source for the first sample alone."""
        return Noise(self.seeds[:1], self.device)

    def normal(self, *shape: int) -> Tensor:
        """Draw standard normal numbers (B, *shape)."""
        return to_device(torch.stack([torch.randn(shape, generator=g) for g in self.generators]), self.device)

    def orders(self, positions: int) -> Tensor:
        """Draw generation orders (B, N)."""
        drawn = torch.cat([random_orders(1, positions, g) for g in self.generators])
        return to_device(drawn, self.device, drawn.dtype)

    def rows(self, length: int, channels: int, steps: int) -> RowNoise:
        """Draw the noise of a head: start (B, L, C) and, unless `steps` is 0, steps (B, steps, L, C)."""
        start = self.normal(length, channels)
        return RowNoise(start, self.normal(steps, length, channels) if steps else None)
