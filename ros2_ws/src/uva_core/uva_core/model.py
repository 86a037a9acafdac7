# SPDX-License-Identifier: Apache-2.0
"""The Unified Video Action network (Li et al. 2025): inputs in, joint latent z out, two diffusion heads on it.

Letters in shapes: B batch, h frames, C latent channels, H W latent cells, N tokens per frame, D width,
T action steps, A action size.

    future latents ─┐
    history latents ─┼─ per-position projection ─ concat ─ linear ─ + positions ─ [language first] ─┐
    actions, state ─┘                                                                               │
              z (B, h N, D) <── + positions <── second transformer <── first transformer <──────────┘
              ├── video head: each token
              └── action head: each of the T actions
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from uva_core.blocks import NORM_EPS, Block
from uva_core.config import ModelConfig
from uva_core.heads import SequenceHead, VideoHead


@dataclass
class ModelInputs:
    """What may be given to the network. `None` or a missing flag means: not given, a learned token stands in.

    Attributes:
        history: (B, h, C, H, W) scaled latents of the history frames.
        future: (B, h, C, H, W) scaled latents of the future frames.
        future_missing: (B, N) bool, True where the future position is hidden (same in all frames).
        history_missing: (B,) bool, True where the whole history is hidden.
        actions: (B, T, A) normalized future actions.
        actions_missing: (B,) bool.
        proprioception: (B, S, P) normalized robot state.
        text: (B, E) language latent.
        text_missing: (B,) bool, True where a learned vector replaces it.
    """

    history: Tensor
    future: Tensor | None = None
    future_missing: Tensor | None = None
    history_missing: Tensor | None = None
    actions: Tensor | None = None
    actions_missing: Tensor | None = None
    proprioception: Tensor | None = None
    text: Tensor | None = None
    text_missing: Tensor | None = None


def sinusoidal_table(length: int, width: int) -> Tensor:
    """Return (1, length, width) sine and cosine positions, the start value of the learned embeddings."""
    position = torch.arange(length, dtype=torch.float32)[:, None]
    frequency = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-torch.log(torch.tensor(10_000.0)) / width))
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)[:, : width // 2]
    return table[None]


class PositionEmbedding(nn.Module):
    """Learned temporal plus spatial embedding added to (B, h N, D)."""

    def __init__(self, frames: int, tokens: int, width: int) -> None:
        super().__init__()
        # Starting from (scaled) sinusoids instead of noise: lower losses at equal steps on small models.
        self.temporal = nn.Parameter(0.7 * sinusoidal_table(frames, width))
        self.spatial = nn.Parameter(0.7 * sinusoidal_table(tokens, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, h N, D) -> the same."""
        positions = self.temporal[:, :, None] + self.spatial[:, None]  # (1, h, N, D)
        return x + positions.flatten(1, 2)


class Uva(nn.Module):
    """Joint video-action model."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = c = config
        d = c.width

        # What enters each position
        self.future_proj = nn.Linear(c.token_dim, d)
        self.history_proj = nn.Linear(c.token_dim, d)
        self.action_proj = nn.Linear(c.action_dim, d)
        self.missing_frame = nn.Parameter(torch.randn(1, d) * 0.02)  # stands for future and history tokens alike
        self.missing_action = nn.Parameter(torch.randn(1, d) * 0.02)
        parts = 3
        if c.proprioception_dim:
            self.proprioception_proj = nn.Linear(c.proprioception_dim, d)
            parts += 1
        self.fuse = nn.Linear(parts * d, d)

        # Language, in front of the video tokens
        if c.text_dim:
            self.text_proj = nn.Linear(c.text_dim, d)
            self.text_positions = nn.Parameter(torch.randn(1, c.text_tokens, d) * 0.02)
            self.decoder_text_positions = nn.Parameter(torch.randn(1, c.text_tokens, d) * 0.02)
            self.missing_text = nn.Parameter(torch.randn(1, d) * 0.02)

        # Two transformers in a row (MAR's encoder and decoder; both see every position)
        def blocks(depth: int) -> nn.ModuleList:
            return nn.ModuleList(Block(d, c.heads, c.mlp_ratio, c.dropout) for _ in range(depth))

        self.input_positions = PositionEmbedding(c.frames, c.tokens_per_frame, d)
        self.input_norm = nn.LayerNorm(d, eps=NORM_EPS)
        self.encoder_blocks = blocks(c.encoder_depth)
        self.encoder_norm = nn.LayerNorm(d, eps=NORM_EPS)
        self.decoder_embed = nn.Linear(d, d)
        self.decoder_positions = PositionEmbedding(c.frames, c.tokens_per_frame, d)
        self.decoder_blocks = blocks(c.decoder_depth)
        self.decoder_norm = nn.LayerNorm(d, eps=NORM_EPS)
        self.latent_positions = PositionEmbedding(c.frames, c.tokens_per_frame, d)

        # Heads
        self.video_head = VideoHead(c.token_dim, d, c.video_head_width, c.video_head_depth)
        self.action_head = self._sequence_head(c.action_dim)
        if c.proprioception_target_dim:
            self.proprioception_head = self._sequence_head(c.proprioception_target_dim)

    def _sequence_head(self, dim: int) -> SequenceHead:
        c = self.config
        return SequenceHead(
            dim=dim,
            steps=c.action_steps,
            frames=c.frames,
            grid=c.grid,
            condition_dim=c.width,
            width=c.action_head_width,
            depth=c.action_head_depth,
        )

    def patchify(self, latents: Tensor) -> Tensor:
        """(B, h, C, H, W) latents -> (B, h N, C p p) tokens: frame by frame, row by row."""
        batch, frames, channels, _, _ = latents.shape
        g, p = self.config.grid, self.config.patch_size
        x = latents.reshape(batch, frames, channels, g, p, g, p).permute(0, 1, 3, 5, 2, 4, 6)
        return x.reshape(batch, frames * g * g, channels * p * p)

    def unpatchify(self, tokens: Tensor) -> Tensor:
        """(B, h N, C p p) tokens -> (B, h, C, H, W) latents."""
        c = self.config
        g, p = c.grid, c.patch_size
        x = tokens.reshape(len(tokens), c.frames, g, g, c.latent_channels, p, p).permute(0, 1, 4, 2, 5, 3, 6)
        return x.reshape(len(tokens), c.frames, c.latent_channels, g * p, g * p)

    def _repeat_over_tokens(self, steps: Tensor) -> Tensor:
        """(B, S, D) -> (B, h N, D): step j covers its own block of consecutive tokens."""
        return steps.repeat_interleave(self.config.sequence_length // steps.shape[1], dim=1)

    def embed(self, inputs: ModelInputs) -> Tensor:
        """Inputs -> the normalized sequence that enters the first block (B, [text +] h N, D)."""
        c = self.config
        batch, length = len(inputs.history), c.sequence_length

        history = self.history_proj(self.patchify(inputs.history))
        if inputs.history_missing is not None:
            history = torch.where(inputs.history_missing[:, None, None], self.missing_frame.to(history.dtype), history)

        missing = self.missing_frame.expand(batch, length, -1)
        if inputs.future is None:
            future = missing
        else:
            future = self.future_proj(self.patchify(inputs.future))
            if inputs.future_missing is not None:
                hidden = inputs.future_missing.repeat(1, c.frames)[:, :, None]
                future = torch.where(hidden, missing.to(future.dtype), future)

        if inputs.actions is None:
            actions = self.missing_action.expand(batch, length, -1)
        else:
            actions = self.action_proj(inputs.actions)
            if inputs.actions_missing is not None:
                hidden = inputs.actions_missing[:, None, None]
                actions = torch.where(hidden, self.missing_action.to(actions.dtype), actions)
            actions = self._repeat_over_tokens(actions)

        parts = [future, history, actions]
        if c.proprioception_dim:
            if inputs.proprioception is None:
                raise ValueError("this model takes proprioception, and none was given")
            parts.append(self._repeat_over_tokens(self.proprioception_proj(inputs.proprioception)))
        x = self.input_positions(self.fuse(torch.cat(parts, dim=-1)))

        if c.text_dim:
            if inputs.text is None:
                raise ValueError("this model takes a language latent, and none was given")
            text = inputs.text
            text = self.text_proj(text)
            if inputs.text_missing is not None:
                text = torch.where(inputs.text_missing[:, None], self.missing_text.to(text.dtype), text)
            x = torch.cat([text[:, None] + self.text_positions, x], dim=1)
        return self.input_norm(x)

    def encode(self, x: Tensor) -> Tensor:
        """First transformer. (B, S, D) -> (B, S, D)."""
        for block in self.encoder_blocks:
            x = block(x)
        return self.encoder_norm(x)

    def forward(self, inputs: ModelInputs) -> Tensor:
        """Inputs -> joint latent z (B, h N, D)."""
        c = self.config
        text = c.text_tokens if c.text_dim else 0
        x = self.decoder_embed(self.encode(self.embed(inputs)))
        video = self.decoder_positions(x[:, text:])
        x = torch.cat([x[:, :text] + self.decoder_text_positions, video], dim=1) if text else video
        for block in self.decoder_blocks:
            x = block(x)
        return self.latent_positions(self.decoder_norm(x)[:, text:])
