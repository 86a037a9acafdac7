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

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from uva_core.network.blocks import NORM_EPS, Block
from uva_core.network.config import ModelConfig
from uva_core.network.heads import SEQUENCE_HEADS, VideoHead


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
        past_actions: (B, T, A) normalized actions before the present.
        past_actions_missing: (B, T) bool.
        proprioception: (B, S, P) normalized robot state.
        wrist_history: (B, h, C, H, W) scaled latents of the second camera's history frames.
        wrist_future: (B, h, C, H, W) its future frames; hidden where `future` is.
        text: (B, E) language latent.
        text_missing: (B,) bool, True where a learned vector replaces it.
    """

    history: Tensor
    future: Tensor | None = None
    future_missing: Tensor | None = None
    history_missing: Tensor | None = None
    actions: Tensor | None = None
    actions_missing: Tensor | None = None
    past_actions: Tensor | None = None
    past_actions_missing: Tensor | None = None
    proprioception: Tensor | None = None
    wrist_history: Tensor | None = None
    wrist_future: Tensor | None = None
    text: Tensor | None = None
    text_missing: Tensor | None = None

    def expand(self, count: int) -> ModelInputs:
        """Return the inputs of one sample as those of `count` equal ones, without copying."""
        shared: dict[str, Any] = {n: v if v is None else v.expand(count, *v.shape[1:]) for n, v in vars(self).items()}
        return ModelInputs(**shared)


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
        if c.wrist_future:
            self.wrist_future_proj = nn.Linear(c.token_dim, d)
            self.missing_wrist_frame = nn.Parameter(torch.randn(1, d) * 0.02)
            parts += 1
        if c.past_actions:
            self.past_action_proj = nn.Linear(c.action_dim, d)
            self.missing_past_action = nn.Parameter(torch.randn(1, d) * 0.02)
            parts += 1
        if c.wrist_history:
            self.wrist_history_proj = nn.Linear(c.token_dim, d)
            parts += 1
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
        self.video_head = VideoHead(c)
        if c.wrist_future:
            self.wrist_video_head = VideoHead(c)
        if c.action_head:
            self.action_head = SEQUENCE_HEADS[c.action_head](c, c.action_dim)
        if c.action_head and c.proprioception_target_dim:
            self.proprioception_head = SEQUENCE_HEADS[c.action_head](c, c.proprioception_target_dim)

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

    def _replace(self, x: Tensor, missing: Tensor | None, token: Tensor) -> Tensor:
        """Put the learned `token` (1, D) where `missing` (B, S) or (B,) is True. (B, S, D) -> (B, S, D)."""
        if missing is None:
            return x
        mask = missing[:, None, None] if missing.ndim == 1 else missing[:, :, None]
        return torch.where(mask, token.to(x.dtype), x)

    def _future_part(
        self, frames: Tensor | None, missing: Tensor | None, project: nn.Linear, token: Tensor, batch: int
    ) -> Tensor:
        """Future frames of one camera, each position as a token or, where it is not given, the learned one."""
        if frames is None:
            return token.expand(batch, self.config.sequence_length, -1)
        everywhere = None if missing is None else missing.repeat(1, self.config.frames)
        return self._replace(project(self.patchify(frames)), everywhere, token)

    def _require(self, value: Tensor | None, what: str) -> Tensor:
        if value is None:
            raise ValueError(f"this model takes {what}, and none was given")
        return value

    def embed(self, inputs: ModelInputs) -> Tensor:
        """Inputs -> the normalized sequence that enters the first block (B, [text +] h N, D).

        Raises:
            ValueError: an input that the model takes is not given; future frames, actions and past actions may be.
        """
        c, i = self.config, inputs
        batch = len(i.history)
        parts = [self._future_part(i.future, i.future_missing, self.future_proj, self.missing_frame, batch)]
        if c.wrist_future:
            project, token = self.wrist_future_proj, self.missing_wrist_frame
            parts.append(self._future_part(i.wrist_future, i.future_missing, project, token, batch))
        parts.append(self._replace(self.history_proj(self.patchify(i.history)), i.history_missing, self.missing_frame))
        if c.past_actions:
            token = self.missing_past_action
            if i.past_actions is None:
                past = token.expand(batch, c.action_steps, -1)
            else:
                past = self._replace(self.past_action_proj(i.past_actions), i.past_actions_missing, token)
            parts.append(self._repeat_over_tokens(past))
        if i.actions is None:
            actions = self.missing_action.expand(batch, c.action_steps, -1)
        else:
            actions = self._replace(self.action_proj(i.actions), i.actions_missing, self.missing_action)
        parts.append(self._repeat_over_tokens(actions))
        if c.wrist_history:
            frames = self._require(i.wrist_history, "frames of a wrist camera")
            parts.append(self.wrist_history_proj(self.patchify(frames)))
        if c.proprioception_dim:
            state = self._require(i.proprioception, "proprioception")
            parts.append(self._repeat_over_tokens(self.proprioception_proj(state)))
        x = self.input_positions(self.fuse(torch.cat(parts, dim=-1)))
        if c.text_dim:
            text = self._replace(
                self.text_proj(self._require(i.text, "a language latent"))[:, None], i.text_missing, self.missing_text
            )
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
        """Inputs -> joint latent z (B, h N, D)."""
        return self.decode(self.encode(self.embed(inputs)))
