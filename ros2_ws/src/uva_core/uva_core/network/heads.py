# SPDX-License-Identifier: Apache-2.0
"""The decoupled diffusion heads: video tokens, actions and robot states from the joint latent (section III-C).

A sequence head denoises each step (action, robot state) on its own, given one conditioning vector per step. How the
latent of all frames becomes these vectors is what the published configurations vary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from uva_core.network.blocks import DenoisingMlp
from uva_core.network.config import ModelConfig

POOLED = 4  # the latent of a frame is pooled to 4x4 cells before the MLP
HIDDEN = 256  # width between tokens and steps in the heads that mix tokens
KERNEL = 7


class VideoHead(nn.Module):
    """Denoise each video token on its own, conditioned on its latent z."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.net = DenoisingMlp(c.token_dim, c.width, c.video_head_width, c.video_head_depth)


class SequenceHead(nn.Module, ABC):
    """Denoise vectors of `dim` numbers, one per step."""

    def __init__(self, c: ModelConfig, dim: int) -> None:
        super().__init__()
        self.frames, self.grid = c.frames, c.grid
        self.net = DenoisingMlp(dim, c.width, c.action_head_width, c.action_head_depth)

    @abstractmethod
    def condition(self, z: Tensor) -> Tensor:
        """Joint latent (B, h N, D) -> conditioning vectors (B, T, D)."""


class PooledHead(SequenceHead):
    """Convolution and pooling in a frame, an MLP, one linear layer from frames to steps, an MLP (published choice)."""

    def __init__(self, c: ModelConfig, dim: int) -> None:
        super().__init__(c, dim)
        d = c.width
        self.conv = nn.Sequential(nn.Conv2d(d, d, 3, padding=1), nn.ReLU())
        self.fc = nn.Sequential(nn.Linear(d * POOLED**2, d), nn.ReLU(), nn.Linear(d, d))
        self.interpolate = nn.Linear(c.frames, c.action_steps)
        self.refine = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, d))

    def condition(self, z: Tensor) -> Tensor:
        """(B, h N, D) -> (B, T, D)."""
        x = rearrange(z, "B (h y x) D -> (B h) D y x", h=self.frames, y=self.grid)
        x = F.adaptive_avg_pool2d(self.conv(x), POOLED)
        x = rearrange(self.fc(x.flatten(1)), "(B h) D -> B D h", h=self.frames)
        return self.refine(rearrange(self.interpolate(x), "B D T -> B T D"))


class FrameMeanHead(SequenceHead):
    """The mean of each frame, and one linear map of it for each of the frame's steps."""

    def __init__(self, c: ModelConfig, dim: int) -> None:
        super().__init__(c, dim)
        steps = (c.action_steps // c.frames, 1, 1)
        self.conv_transpose3d = nn.ConvTranspose3d(c.width, c.width, steps, stride=steps)

    def condition(self, z: Tensor) -> Tensor:
        """(B, h N, D) -> (B, T, D)."""
        # The published order is map, then mean over cells; both are linear, and this one is N times cheaper.
        frames = rearrange(z, "B (h N) D -> B D h N", h=self.frames).mean(dim=-1)
        return rearrange(self.conv_transpose3d(frames[..., None, None]), "B D T 1 1 -> B T D")


class TokenConvHead(SequenceHead):
    """Tokens are the channels of two convolutions along the width; the last has one channel per step."""

    def __init__(self, c: ModelConfig, dim: int) -> None:
        super().__init__(c, dim)
        self.conv = nn.Sequential(
            nn.Conv1d(c.sequence_length, HIDDEN, KERNEL, padding=KERNEL // 2),
            nn.ReLU(),
            nn.Conv1d(HIDDEN, c.action_steps, KERNEL, padding=KERNEL // 2),
        )

    def condition(self, z: Tensor) -> Tensor:
        """(B, h N, D) -> (B, T, D)."""
        return self.conv(z)


class TokenMlpHead(SequenceHead):
    """An MLP over all tokens, the same for each number of the width; its outputs are the steps."""

    def __init__(self, c: ModelConfig, dim: int) -> None:
        super().__init__(c, dim)
        self.fc = nn.Sequential(nn.Linear(c.sequence_length, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, c.action_steps))

    def condition(self, z: Tensor) -> Tensor:
        """(B, h N, D) -> (B, T, D)."""
        return self.fc(z.transpose(1, 2)).transpose(1, 2)


SEQUENCE_HEADS: dict[str, type[SequenceHead]] = {
    "pooled": PooledHead,
    "frame_mean": FrameMeanHead,
    "token_conv": TokenConvHead,
    "token_mlp": TokenMlpHead,
}
