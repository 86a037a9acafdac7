# SPDX-License-Identifier: Apache-2.0
"""The decoupled diffusion heads: video tokens, actions and robot states from the joint latent (section III-C)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from uva_core.blocks import DenoisingMlp

POOLED = 4  # the latent of a frame is pooled to 4x4 cells before the MLP


class VideoHead(nn.Module):
    """Denoises each video token on its own, conditioned on its latent z."""

    def __init__(self, token_dim: int, condition_dim: int, width: int, depth: int) -> None:
        super().__init__()
        self.net = DenoisingMlp(token_dim, condition_dim, width, depth)


class SequenceHead(nn.Module):
    """Denoises a sequence of vectors (actions, robot states), each step on its own.

    `condition` turns the latent of all frames into one conditioning vector per step: convolution and pooling in a
    frame, an MLP, one linear layer across frames, an MLP.
    """

    def __init__(
        self, *, dim: int, steps: int, frames: int, grid: int, condition_dim: int, width: int, depth: int
    ) -> None:
        super().__init__()
        self.dim, self.steps, self.frames, self.grid = dim, steps, frames, grid
        d = condition_dim
        self.conv = nn.Sequential(nn.Conv2d(d, d, 3, padding=1), nn.ReLU())
        self.fc = nn.Sequential(nn.Linear(d * POOLED**2, d), nn.ReLU(), nn.Linear(d, d))
        self.interpolate = nn.Linear(frames, steps)
        self.refine = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, d))
        self.net = DenoisingMlp(dim, d, width, depth)

    def condition(self, z: Tensor) -> Tensor:
        """Joint latent (B, h N, D) -> conditioning vectors (B, steps, D)."""
        batch, _, d = z.shape
        x = z.view(batch * self.frames, self.grid, self.grid, d).permute(0, 3, 1, 2)
        x = F.adaptive_avg_pool2d(self.conv(x), POOLED)
        x = self.fc(x.flatten(1)).view(batch, self.frames, d)
        x = self.interpolate(x.transpose(1, 2)).transpose(1, 2)
        return self.refine(x)
