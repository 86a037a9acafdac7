# SPDX-License-Identifier: Apache-2.0
"""The image tokenizer: diffusers' AutoencoderKL between pixels and scaled latents (paper, section III-A)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

from uva_core.network.config import TokenizerConfig


class Tokenizer(nn.Module):
    """Images (B, 3, S, S) in [-1, 1] <-> latents (B, C, S / stride, S / stride), scaled to about unit variance."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        channels = 3 * config.pixel_unshuffle**2
        levels = len(config.block_out_channels)
        last = "AttnDownEncoderBlock2D" if config.last_level_attention else "DownEncoderBlock2D"
        self.vae = AutoencoderKL(
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * (levels - 1) + (last,),
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=config.block_out_channels,
            layers_per_block=config.layers_per_block,
            latent_channels=config.latent_channels,
            norm_num_groups=config.norm_groups,
            sample_size=config.image_size // config.pixel_unshuffle,
            mid_block_add_attention=config.mid_block_attention,
        )

    def moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return posterior mean and standard deviation, unscaled, each (B, C, H, W)."""
        if self.config.pixel_unshuffle > 1:
            images = F.pixel_unshuffle(images, self.config.pixel_unshuffle)
        posterior = self.vae.encode(images).latent_dist
        return posterior.mean, posterior.std

    def encode(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """Encode images as scaled latents.

        Args:
            images: (B, 3, S, S) in [-1, 1].
            noise: (B, C, H, W) standard normal for a sample of the posterior; None gives its mean.
        """
        mean, std = self.moments(images)
        return (mean if noise is None else mean + std * noise) * self.config.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """Decode scaled latents (B, C, H, W) as images (B, 3, S, S), about [-1, 1]."""
        images = self.vae.decode(latents / self.config.scaling_factor).sample
        if self.config.pixel_unshuffle > 1:
            images = F.pixel_shuffle(images, self.config.pixel_unshuffle)
        return torch.as_tensor(images)
