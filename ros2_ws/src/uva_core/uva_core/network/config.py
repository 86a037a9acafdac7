# SPDX-License-Identifier: Apache-2.0
"""Sizes of the network and of the tokenizer. Defaults are the published ones."""

from __future__ import annotations

from dataclasses import dataclass

from uva_core.serialization import require_within

# Far beyond any network of this kind: a configuration out of a file is refused before it takes memory or time.
MAX_SIZE = 65_536
MAX_DEPTH = 256
MAX_TIMESTEPS = 10_000
MAX_LEVELS, MAX_LAYERS = 10, 16  # of the image autoencoder
ACTION_HEADS = ("pooled", "frame_mean", "token_conv", "token_mlp")


@dataclass(frozen=True)
class ModelConfig:
    """The joint video-action network (paper, section III). Defaults: published size, UMI actions."""

    # Tokens
    latent_size: int = 16  # latent cells per image side
    latent_channels: int = 16
    patch_size: int = 1  # latent cells per token side
    frames: int = 4  # h: history frames, and as many future frames
    # Inputs and outputs beside frames
    action_dim: int = 10
    action_steps: int = 16
    past_actions: bool = False  # the `action_steps` actions before the present are an input
    past_action_dropout: float = 0.5  # chance to hide each of them in training
    proprioception_dim: int = 0  # 0: robot state is not an input
    proprioception_steps: int = 4
    proprioception_target_dim: int = 0  # 0: no robot-state head
    wrist_history: bool = False  # the history of a second (wrist) camera is an input
    wrist_future: bool = False  # the second camera's future is predicted, too
    text_dim: int = 0  # 0: no language; CLIP ViT-B/32 gives 512
    text_tokens: int = 64  # the language latent is repeated to this many tokens
    text_dropout: float = 0.1  # chance to hide the language latent in training
    # Transformer
    width: int = 768
    encoder_depth: int = 12
    decoder_depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    dropout: float = 0.1
    # Diffusion heads
    video_head_width: int = 1024
    video_head_depth: int = 6
    action_head: str | None = "pooled"  # how z becomes one condition per action (see heads.py); None: no action head
    action_head_width: int = 1024
    action_head_depth: int = 6
    train_timesteps: int = 1000

    def __post_init__(self) -> None:
        """Reject impossible combinations."""
        sizes = ("latent_size", "latent_channels", "patch_size", "frames", "width", "heads", "text_tokens")
        require_within(self, 1, MAX_SIZE, *sizes, "action_dim", "action_steps", "proprioception_steps")
        require_within(self, 1, MAX_SIZE, "video_head_width", "action_head_width")
        require_within(self, 0, MAX_SIZE, "proprioception_dim", "proprioception_target_dim", "text_dim")
        require_within(self, 1, MAX_DEPTH, "encoder_depth", "decoder_depth", "video_head_depth", "action_head_depth")
        require_within(self, 0.1, 100.0, "mlp_ratio")
        require_within(self, 0.0, 1.0, "dropout", "past_action_dropout", "text_dropout")
        require_within(self, 2, MAX_TIMESTEPS, "train_timesteps")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by {self.heads} heads")
        if self.latent_size % self.patch_size:
            raise ValueError(f"latent_size {self.latent_size} is not divisible by patch_size {self.patch_size}")
        if self.sequence_length % self.action_steps:
            raise ValueError(f"{self.sequence_length} tokens cannot carry {self.action_steps} actions in equal blocks")
        if self.action_head not in (None, *ACTION_HEADS):
            raise ValueError(f"unknown action head '{self.action_head}'; choose one of: {', '.join(ACTION_HEADS)}")
        if self.action_head == "pooled" and self.grid < 4:
            raise ValueError(
                f"the action head pools to 4x4 cells a frame, but the token grid is {self.grid}x{self.grid}"
            )
        if self.action_head == "frame_mean" and self.action_steps % self.frames:
            raise ValueError(f"{self.action_steps} actions cannot be shared out to {self.frames} frames")
        if self.proprioception_target_dim and self.action_head is None:
            raise ValueError("the robot-state head is built like the action head, and there is none")
        if self.proprioception_dim and self.sequence_length % self.proprioception_steps:
            raise ValueError(f"{self.sequence_length} tokens cannot carry {self.proprioception_steps} robot states")

    @property
    def grid(self) -> int:
        """Tokens per frame side."""
        return self.latent_size // self.patch_size

    @property
    def tokens_per_frame(self) -> int:
        """Spatial positions of a frame, N in the paper."""
        return self.grid**2

    @property
    def sequence_length(self) -> int:
        """Length of the video part of the sequence, h * N."""
        return self.frames * self.tokens_per_frame

    @property
    def token_dim(self) -> int:
        """Numbers in one video token."""
        return self.latent_channels * self.patch_size**2


@dataclass(frozen=True)
class TokenizerConfig:
    """The image autoencoder: diffusers' AutoencoderKL. Defaults: kl-f16, as published."""

    image_size: int = 256
    pixel_unshuffle: int = 1  # fold s x s pixels into channels first (makes a small model cheap on a CPU)
    latent_channels: int = 16
    block_out_channels: tuple[int, ...] = (128, 128, 256, 256, 512)
    layers_per_block: int = 2
    norm_groups: int = 32
    mid_block_attention: bool = True
    last_level_attention: bool = True  # of the encoder
    scaling_factor: float = 0.2325
    sample_posterior: bool = True  # official inference feeds a sample of the posterior; False: its mean

    def __post_init__(self) -> None:
        """Reject sizes that do not divide."""
        require_within(self, 1, MAX_SIZE, "image_size", "pixel_unshuffle", "latent_channels", "norm_groups")
        require_within(self, 1, MAX_LAYERS, "layers_per_block")
        require_within(self, 1e-6, 1e6, "scaling_factor")
        if not 1 <= len(self.block_out_channels) <= MAX_LEVELS:
            raise ValueError(f"{len(self.block_out_channels)} block_out_channels; choose 1 to {MAX_LEVELS}")
        if self.image_size % self.stride:
            raise ValueError(f"image_size {self.image_size} is not divisible by the tokenizer's stride {self.stride}")
        for channels in self.block_out_channels:
            if not 1 <= channels <= MAX_SIZE:
                raise ValueError(f"block_out_channels holds {channels}; choose 1 to {MAX_SIZE}")
            if channels % self.norm_groups:
                raise ValueError(f"{channels} channels are not divisible by {self.norm_groups} norm groups")

    @property
    def stride(self) -> int:
        """Pixels per latent cell."""
        return int(self.pixel_unshuffle * 2 ** (len(self.block_out_channels) - 1))

    @property
    def latent_size(self) -> int:
        """Latent cells per image side."""
        return self.image_size // self.stride
