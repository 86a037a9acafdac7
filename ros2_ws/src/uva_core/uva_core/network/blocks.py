# SPDX-License-Identifier: Apache-2.0
"""Building blocks: the pre-norm ViT block of MAR and the AdaLN-MLP that denoises one token or one action.

Letters in shapes: B batch, S sequence, D width, R rows (tokens or actions of all samples), C channels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

NORM_EPS = 1e-6  # of every LayerNorm in the model, after MAR


class Attention(nn.Module):
    """Multi-head self-attention over all tokens. (B, S, D) -> (B, S, D)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "B S (three heads d) -> three B heads S d", three=3, heads=self.heads)
        x = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        x = self.proj(rearrange(x, "B heads S d -> B S (heads d)"))
        return F.dropout(x, self.dropout, self.training)


class Mlp(nn.Module):
    """Two linear layers with exact GELU. (B, S, D) -> (B, S, D)."""

    def __init__(self, width: int, ratio: float, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, int(width * ratio))
        self.fc2 = nn.Linear(int(width * ratio), width)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(F.gelu(self.fc1(x)), self.dropout, self.training)
        return F.dropout(self.fc2(x), self.dropout, self.training)


class Block(nn.Module):
    """Pre-norm transformer block. (B, S, D) -> (B, S, D)."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = Attention(width, heads, dropout)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = Mlp(width, mlp_ratio, dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def timestep_features(timestep: Tensor, dim: int = 256) -> Tensor:
    """Sinusoidal features of diffusion timesteps: cosines, then sines; in double precision for doubles.

    (R,) -> (R, dim).
    """
    half = dim // 2
    dtype = torch.float64 if timestep.dtype == torch.float64 else torch.float32
    exponents = torch.arange(half, dtype=dtype, device=timestep.device) / half
    angles = timestep.to(dtype)[:, None] * torch.exp(-math.log(10_000.0) * exponents)[None]
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimestepEmbedding(nn.Module):
    """(R,) timesteps on the training scale -> (R, D)."""

    def __init__(self, width: int, features: int = 256) -> None:
        super().__init__()
        self.features = features
        self.mlp = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, timestep: Tensor) -> Tensor:
        features = timestep_features(timestep, self.features)
        return self.mlp(features.to(next(self.mlp.parameters()).dtype))


class AdaptiveBlock(nn.Module):
    """Residual MLP whose norm is shifted, scaled and gated by the condition. (R, D) -> (R, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_ln = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate = self.adaLN_modulation(condition).chunk(3, dim=-1)
        return x + gate * self.mlp(self.in_ln(x) * (1 + scale) + shift)


class AdaptiveOutput(nn.Module):
    """Norm without parameters, shift and scale from the condition, then linear. (R, D) -> (R, out)."""

    def __init__(self, width: int, out_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=NORM_EPS, elementwise_affine=False)
        self.linear = nn.Linear(width, out_dim)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(condition).chunk(2, dim=-1)
        return self.linear(self.norm(x) * (1 + scale) + shift)


class DenoisingMlp(nn.Module):
    """Predict the noise in one row, and where its variance lies in the allowed range (MAR, section 3.3).

    Forward takes noisy rows (R, C), timesteps (R,) and conditions (R, Z); returns (R, 2 C): C of noise, C of variance.
    """

    def __init__(self, channels: int, condition_dim: int, width: int, depth: int) -> None:
        super().__init__()
        self.time_embed = TimestepEmbedding(width)
        self.cond_embed = nn.Linear(condition_dim, width)
        self.input_proj = nn.Linear(channels, width)
        self.res_blocks = nn.ModuleList(AdaptiveBlock(width) for _ in range(depth))
        self.final_layer = AdaptiveOutput(width, 2 * channels)
        self._initialize()

    def _initialize(self) -> None:
        """Start as the identity: gates and output at zero, as DiT and MAR do."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for layer in (self.time_embed.mlp[0], self.time_embed.mlp[2]):
            nn.init.normal_(layer.weight, std=0.02)  # type: ignore[arg-type]
        for block in self.res_blocks:
            nn.init.zeros_(block.adaLN_modulation[1].weight)  # type: ignore[index, union-attr]
        nn.init.zeros_(self.final_layer.adaLN_modulation[1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.final_layer.linear.weight)

    def forward(self, x: Tensor, timestep: Tensor, condition: Tensor) -> Tensor:
        x = self.input_proj(x)
        condition = self.time_embed(timestep) + self.cond_embed(condition)
        for block in self.res_blocks:
            x = block(x, condition)
        return self.final_layer(x, condition)
