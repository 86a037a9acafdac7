# SPDX-License-Identifier: Apache-2.0
"""Frozen configurations. A checkpoint carries them, so a model is never fed differently from how it was trained."""

from __future__ import annotations

from dataclasses import dataclass, field

from uva_core.diffusion.config import SamplingConfig
from uva_core.modes import MaskMode
from uva_core.network.config import ModelConfig, TokenizerConfig
from uva_core.observation.config import RELATIVE_STATE_DIM, ObservationConfig
from uva_core.poses import POSE_DIM


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
        steps = max(self.sampling.action_steps, self.sampling.video_steps)
        if steps > m.train_timesteps:
            raise ValueError(f"sampling takes {steps} steps, the model was trained with {m.train_timesteps} timesteps")
        unknown = sorted(set(self.trained_modes) - {mode.value for mode in MaskMode})
        if unknown:
            raise ValueError(f"unknown trained_modes: {', '.join(unknown)}")
