# SPDX-License-Identifier: Apache-2.0
"""Frozen configurations. A checkpoint carries them, so a model is never fed differently from how it was trained."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_type_hints

from uva_core.modes import MaskMode

T = TypeVar("T")

RESIZE_MODES = ("bilinear", "area")
SAMPLERS = ("ddpm", "ddim", "dpmsolver++")
ACTION_HEADS = ("pooled", "frame_mean", "token_conv", "token_mlp")
ACTION_SPACES = ("relative_pose", "absolute_pose", "vector")
STATE_SPACES = ("relative_pose", "absolute_pose", "vector")
POSE_DIM = 10  # position 3, rotation 6, gripper width 1
RELATIVE_STATE_DIM = POSE_DIM + 6  # and the rotation since the start of the episode
MIN_STEPS, MAX_STEPS = 2, 1000  # of denoising


def _require_positive(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not (isinstance(value, (int, float)) and value > 0):
            raise ValueError(f"{name} must be a positive number, got {value!r}")


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
        _require_positive(
            self, "latent_size", "latent_channels", "patch_size", "frames", "width", "heads", "action_steps"
        )
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
        """N of the paper."""
        return self.grid**2

    @property
    def sequence_length(self) -> int:
        """h * N: length of the video part of the sequence."""
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
        _require_positive(self, "image_size", "pixel_unshuffle", "latent_channels", "layers_per_block", "norm_groups")
        if self.image_size % self.stride:
            raise ValueError(f"image_size {self.image_size} is not divisible by the tokenizer's stride {self.stride}")
        for channels in self.block_out_channels:
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


@dataclass(frozen=True)
class ObservationConfig:
    """How time-stamped sensor data becomes model input: the same live, in training and from a bag."""

    rate_hz: float = 20.0  # of the 16 observations and of the 16 actions
    frame_offsets: tuple[int, ...] = (
        -12,
        -8,
        -4,
        0,
    )  # steps at `rate_hz`, relative to the newest observation
    resize: str = "bilinear"  # bilinear (corners not aligned, no antialiasing; official) | area
    state_space: str = "relative_pose"  # of the robot state: to the newest EEF pose (UMI) | absolute_pose | vector
    action_space: str = "relative_pose"  # of the actions: to the newest EEF pose (UMI) | absolute_pose | vector
    first_action_step: int = 1  # action 0 is to be reached this many steps after the newest observation
    max_frame_gap_s: float = 0.1  # an image further than this from the wanted time is not used
    smooth_actions: int = 3  # width of the moving average over a predicted chunk; 1: none

    def __post_init__(self) -> None:
        """Reject what could only fail at the first image."""
        _require_positive(self, "rate_hz", "max_frame_gap_s", "smooth_actions")
        if len(self.frame_offsets) < 2 or list(self.frame_offsets) != sorted(set(self.frame_offsets)):
            raise ValueError(f"frame_offsets {self.frame_offsets} do not ascend")
        if self.frame_offsets[-1] != 0:
            raise ValueError(f"frame_offsets {self.frame_offsets} do not end at 0, the newest observation")
        if self.resize not in RESIZE_MODES:
            raise ValueError(f"unknown resize mode '{self.resize}'; choose one of: {', '.join(RESIZE_MODES)}")
        for name, known in (("state_space", STATE_SPACES), ("action_space", ACTION_SPACES)):
            if getattr(self, name) not in known:
                raise ValueError(f"unknown {name} '{getattr(self, name)}'; choose one of: {', '.join(known)}")
        if self.smooth_actions % 2 == 0:
            raise ValueError(f"smooth_actions {self.smooth_actions} is even")
        if self.first_action_step < 0:
            raise ValueError(f"first_action_step {self.first_action_step} is negative")


@dataclass(frozen=True)
class SamplingConfig:
    """How chunks and frames are denoised at inference."""

    sampler: str = "ddpm"  # ddpm | ddim | dpmsolver++
    action_steps: int = 16
    action_temperature: float = 0.95
    video_steps: int = 16
    video_temperature: float = 0.95
    video_clip: float = (
        0.0  # keeps predicted latents in [-clip, clip]; 0: no limit, as published. The first of few steps
    )
    # divides by 5e-5, which a briefly trained network does not survive without

    def __post_init__(self) -> None:
        """Reject samplers and step counts that diffusers would refuse later."""
        if self.sampler not in SAMPLERS:
            raise ValueError(f"unknown sampler '{self.sampler}'; choose one of: {', '.join(SAMPLERS)}")
        for name in ("action_steps", "video_steps"):
            if not MIN_STEPS <= getattr(self, name) <= MAX_STEPS:
                raise ValueError(f"{name} is {getattr(self, name)}; choose {MIN_STEPS} to {MAX_STEPS}")
        for name in ("action_temperature", "video_temperature", "video_clip"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)} is negative")


@dataclass(frozen=True)
class UvaConfig:
    """All that is needed to rebuild a policy around its weights."""

    model: ModelConfig = field(default_factory=ModelConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    observation: ObservationConfig = field(default_factory=ObservationConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    trained_modes: tuple[str, ...] = ()  # mask modes; empty: not known
    instructions: tuple[str, ...] = ()  # instructions whose language latents the checkpoint carries

    def __post_init__(self) -> None:
        """Reject a tokenizer and a network that do not fit."""
        if self.tokenizer.latent_size != self.model.latent_size:
            raise ValueError(
                f"the tokenizer gives {self.tokenizer.latent_size} latent cells a side, "
                f"the model expects {self.model.latent_size}"
            )
        if self.tokenizer.latent_channels != self.model.latent_channels:
            raise ValueError(
                f"the tokenizer gives {self.tokenizer.latent_channels} latent channels, "
                f"the model expects {self.model.latent_channels}"
            )
        if len(self.observation.frame_offsets) != self.model.frames:
            raise ValueError(
                f"{len(self.observation.frame_offsets)} frame offsets for {self.model.frames} history frames"
            )
        o, m = self.observation, self.model
        if o.action_space != "vector" and m.action_dim != POSE_DIM:
            raise ValueError(f"{m.action_dim}-D actions are no poses: action_space must be 'vector'")
        state_dim = {"relative_pose": RELATIVE_STATE_DIM, "absolute_pose": POSE_DIM}.get(o.state_space)
        if m.proprioception_dim and state_dim and m.proprioception_dim != state_dim:
            raise ValueError(f"a robot state of '{o.state_space}' has {state_dim} numbers, not {m.proprioception_dim}")
        unknown = sorted(set(self.trained_modes) - {mode.value for mode in MaskMode})
        if unknown:
            raise ValueError(f"unknown trained_modes: {', '.join(unknown)}")


def to_dict(config: Any) -> dict[str, Any]:
    """Return a configuration as plain nested dicts and lists (for JSON and YAML)."""
    return dataclasses.asdict(config)


def from_dict(cls: type[T], values: Any) -> T:
    """Build configuration `cls` from nested dicts.

    Raises:
        ValueError: a key that `cls` does not have, or a value of another type; the message names it.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{cls.__name__} must be a mapping, got {values!r}")
    types = get_type_hints(cls)
    unknown = sorted(values.keys() - types.keys())
    if unknown:
        raise ValueError(f"{cls.__name__} has no field {', '.join(unknown)}; known: {', '.join(types)}")
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(types[name]):
            value = from_dict(types[name], value)
        elif isinstance(value, list):
            value = tuple(value)
        arguments[name] = value
    try:
        return cls(**arguments)
    except TypeError as error:  # a comparison or division of the wrong type
        raise ValueError(f"{cls.__name__}: {error}") from None
