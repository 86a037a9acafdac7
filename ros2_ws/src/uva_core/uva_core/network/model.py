# SPDX-License-Identifier: Apache-2.0
"""The Unified Video Action network (Li et al. 2025): inputs in, joint latent z out, two diffusion heads on it.

Letters in shapes: B batch, h frames, C latent channels, H W latent cells, N tokens per frame, D width,
T action steps, A action size.

    future latents ──┐
    history latents ─┼─ per-position projection ─ concat ─ linear ─ + positions ─ [language first] ─┐
    actions, state ──┘                                                                              │
              z (B, h N, D) <── + positions <── second transformer <── first transformer <──────────┘
              ├── video head: each token (a second one for the wrist camera)
              └── action head: each of the T actions (a second one for robot states)
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from uva_core.network.blocks import NORM_EPS, Block
from uva_core.network.config import ModelConfig
from uva_core.network.heads import SEQUENCE_HEADS, VideoHead
from uva_core.network.inputs import STREAMS, ModelInputs, Stream


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


def replace_missing(x: Tensor, missing: Tensor, token: Tensor) -> Tensor:
    """Put the learned `token` (1, D) where `missing` (B, S) or (B,) is True. (B, S, D) -> (B, S, D)."""
    mask = missing[:, None, None] if missing.ndim == 1 else missing[:, :, None]
    return torch.where(mask, token.to(x.dtype), x)


class Uva(nn.Module):
    """Joint video-action model."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = c = config
        d = c.width

        # What enters each position, in the order in which `fuse` takes it
        self.future_proj = nn.Linear(c.token_dim, d)
        self.history_proj = nn.Linear(c.token_dim, d)
        self.action_proj = nn.Linear(c.action_dim, d)
        self.missing_frame = nn.Parameter(torch.randn(1, d) * 0.02)  # stands for future and history tokens alike
        self.missing_action = nn.Parameter(torch.randn(1, d) * 0.02)
        if c.wrist_future:
            self.wrist_future_proj = nn.Linear(c.token_dim, d)
            self.missing_wrist_frame = nn.Parameter(torch.randn(1, d) * 0.02)
        if c.past_actions:
            self.past_action_proj = nn.Linear(c.action_dim, d)
            self.missing_past_action = nn.Parameter(torch.randn(1, d) * 0.02)
        if c.wrist_history:
            self.wrist_history_proj = nn.Linear(c.token_dim, d)
        if c.proprioception_dim:
            self.proprioception_proj = nn.Linear(c.proprioception_dim, d)
        self.streams = [stream for stream in STREAMS if stream.taken(c)]
        self.fuse = nn.Linear(len(self.streams) * d, d)

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
        self.video_head = VideoHead(c)
        if c.wrist_future:
            self.wrist_video_head = VideoHead(c)
        if c.action_head:
            self.action_head = SEQUENCE_HEADS[c.action_head](c, c.action_dim)
        if c.action_head and c.proprioception_target_dim:
            self.proprioception_head = SEQUENCE_HEADS[c.action_head](c, c.proprioception_target_dim)

    def patchify(self, latents: Tensor) -> Tensor:
        """(B, h, C, H, W) latents -> (B, h N, C p p) tokens: frame by frame, row by row."""
        p = self.config.patch_size
        return rearrange(latents, "B h C (y p) (x q) -> B (h y x) (C p q)", p=p, q=p)

    def unpatchify(self, tokens: Tensor) -> Tensor:
        """(B, h N, C p p) tokens -> (B, h, C, H, W) latents."""
        c = self.config
        sizes = {"h": c.frames, "y": c.grid, "C": c.latent_channels, "p": c.patch_size, "q": c.patch_size}
        return rearrange(tokens, "B (h y x) (C p q) -> B h C (y p) (x q)", **sizes)

    def _embed_stream(self, stream: Stream, inputs: ModelInputs) -> Tensor:
        """Project one stream to every position (B, h N, D); the learned token stands where it is not given."""
        c, value = self.config, getattr(inputs, stream.name)
        token = getattr(self, stream.token) if stream.token else None
        if value is None:
            if token is None:
                raise ValueError(f"this model takes {stream.description}, and none was given")
            return token.expand(len(inputs.history), c.sequence_length, -1)
        x = getattr(self, stream.projection)(self.patchify(value) if stream.frames else value)
        missing = getattr(inputs, stream.missing) if stream.missing else None
        if missing is not None and token is not None:
            if stream.frames and missing.ndim == 2:
                missing = missing.repeat(1, c.frames)  # the same positions in all frames
            x = replace_missing(x, missing, token)
        # Step j of S covers its own block of consecutive tokens.
        return x if stream.frames else x.repeat_interleave(c.sequence_length // x.shape[1], dim=1)

    def embed(self, inputs: ModelInputs) -> Tensor:
        """Make the normalized sequence that enters the first block (B, [text +] h N, D).

        Raises:
            ValueError: an input that the model takes is not given; future frames, actions and past actions may be.
        """
        parts = [self._embed_stream(stream, inputs) for stream in self.streams]
        x = self.input_positions(self.fuse(torch.cat(parts, dim=-1)))
        if self.config.text_dim:
            if inputs.text is None:
                raise ValueError("this model takes a language latent, and none was given")
            text = self.text_proj(inputs.text)[:, None]
            if inputs.text_missing is not None:
                text = replace_missing(text, inputs.text_missing, self.missing_text)
            x = torch.cat([text + self.text_positions, x], dim=1)
        return self.input_norm(x)

    def encode(self, x: Tensor) -> Tensor:
        """First transformer. (B, S, D) -> (B, S, D)."""
        for block in self.encoder_blocks:
            x = block(x)
        return self.encoder_norm(x)

    def decode(self, x: Tensor) -> Tensor:
        """Second transformer, and the language tokens cut off. (B, S, D) -> joint latent z (B, h N, D)."""
        c = self.config
        text = c.text_tokens if c.text_dim else 0
        x = self.decoder_embed(x)
        video = self.decoder_positions(x[:, text:])
        x = torch.cat([x[:, :text] + self.decoder_text_positions, video], dim=1) if text else video
        for block in self.decoder_blocks:
            x = block(x)
        return self.latent_positions(self.decoder_norm(x)[:, text:])

    def forward(self, inputs: ModelInputs) -> Tensor:
        """Compute the joint latent z (B, h N, D)."""
        return self.decode(self.encode(self.embed(inputs)))
