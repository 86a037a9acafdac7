# SPDX-License-Identifier: Apache-2.0
"""Observations to the network's inputs: tokenize frames, normalize states and actions, copy all to the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uva_core import actions
from uva_core.config import UvaConfig
from uva_core.devices import to_device
from uva_core.network.inputs import ModelInputs
from uva_core.network.tokenizer import Tokenizer
from uva_core.normalizer import LinearNormalizer
from uva_core.observation.observation import Observation, proprioception
from uva_core.policy.noise import Noise

T = TypeVar("T")


@dataclass(frozen=True)
class ObservationEncoder:
    """Encode batches for one policy; `dtype` and `device` are the network's."""

    config: UvaConfig
    tokenizer: Tokenizer
    action_normalizer: LinearNormalizer
    proprioception_normalizer: LinearNormalizer
    device: torch.device
    dtype: torch.dtype

    def encode(self, observations: Sequence[Observation], noise: Noise, *, history: bool = True) -> ModelInputs:
        """Tokenize the history frames and normalize what else a batch of observations gives.

        Args:
            observations: B observations.
            noise: for samples of the tokenizer's posterior.
            history: False leaves the history frames out (inverse dynamics does not see them).

        Raises:
            ValueError: an observation lacks what the model takes, or has it in another shape; the message says what.
        """
        m, batch = self.config.model, len(observations)
        if history:
            inputs = ModelInputs(history=self.tokenize([o.frames for o in observations], noise))
        else:
            shape = (batch, m.frames, m.latent_channels, m.latent_size, m.latent_size)
            blank = torch.zeros(shape, device=self.device, dtype=self.dtype)
            inputs = ModelInputs(history=blank, history_missing=torch.ones(batch, device=self.device).bool())
        if m.wrist_history:
            inputs.wrist_history = self.tokenize(
                [required(o.wrist_frames, "wrist_frames") for o in observations], noise
            )
        if m.proprioception_dim:
            states = self._tensor(np.stack([self._state(o) for o in observations]))
            inputs.proprioception = self.proprioception_normalizer.normalize(states).to(self.dtype)
        if m.past_actions:
            inputs.past_actions, inputs.past_actions_missing = self._past_actions(observations)
        if m.text_dim:
            inputs.text = torch.stack([self._tensor(required(o.text, "text"), self.dtype) for o in observations])
        return inputs

    @torch.no_grad()
    def tokenize(self, frames: Sequence[Tensor], noise: Noise) -> Tensor:
        """Encode B times (h, 3, S, S) images as (B, h, C, H, W) scaled latents; frames given twice are encoded once.

        Raises:
            ValueError: frames of another shape than the model takes.
        """
        c, pixels = self.config, self.config.tokenizer.image_size
        expected = (c.model.frames, 3, pixels, pixels)
        for given in frames:
            if given.shape != expected:
                raise ValueError(f"this model takes frames of shape {expected}, got {tuple(given.shape)}")
        posterior = None
        if c.tokenizer.sample_posterior:
            posterior = noise.normal(c.model.frames, c.model.latent_channels, *(c.tokenizer.latent_size,) * 2)
        different = {id(given): given for given in frames}
        place = {key: i for i, key in enumerate(different)}
        moments = self.tokenizer.moments(self._tensor(torch.cat(list(different.values())), self.dtype))
        mean, std = (part.unflatten(0, (len(different), -1)) for part in moments)
        if len(different) < len(frames):
            mean, std = (torch.stack([part[place[id(given)]] for given in frames]) for part in (mean, std))
        latents = mean if posterior is None else mean + std * posterior.to(mean.dtype)
        return latents * c.tokenizer.scaling_factor

    def normalize_actions(self, vectors: Sequence[NDArray[np.float64]], base: Sequence[Observation]) -> Tensor:
        """Bring B action sequences (T, A) in task units to the network's (B, T, A), each against its observation.

        Raises:
            ValueError: actions of another shape than the model takes.
        """
        written = [self._to_model(v, o) for v, o in zip(vectors, base, strict=True)]
        return self.action_normalizer.normalize(self._tensor(np.stack(written))).to(self.dtype)

    def _to_model(self, vectors: NDArray[np.float64], o: Observation) -> NDArray[np.float64]:
        c = self.config
        expected = (c.model.action_steps, c.model.action_dim)
        if vectors.shape != expected:
            raise ValueError(f"this model takes actions of shape {expected}, got {vectors.shape}")
        return actions.to_model(vectors, o.base_pose, c.observation.action_space)

    def _past_actions(self, observations: Sequence[Observation]) -> tuple[Tensor, Tensor]:
        """Return normalized past actions (B, T, A), and which are missing (B, T)."""
        c = self.config.model
        blank = np.zeros((c.action_steps, c.action_dim))  # a learned token stands in
        rows = [blank if o.past_actions is None else self._to_model(o.past_actions, o) for o in observations]
        missing = np.array([[o.past_actions is None] * c.action_steps for o in observations])
        normalized = self.action_normalizer.normalize(self._tensor(np.stack(rows))).to(self.dtype)
        return normalized, self._tensor(missing, torch.bool)

    def _state(self, o: Observation) -> NDArray[np.float64]:
        """Return the robot state (S, P) in task units."""
        c = self.config
        if c.observation.state_space == "vector":
            state = required(o.state, "state")
        else:
            absolute = c.observation.state_space == "absolute_pose"
            state = proprioception(o.eef_pose, o.gripper_width, o.start_pose, absolute=absolute)
        expected = (c.model.proprioception_steps, c.model.proprioception_dim)
        if state.shape != expected:
            raise ValueError(f"this model takes a robot state of shape {expected}, got {state.shape}")
        return state

    def _tensor(self, values: NDArray | Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        return to_device(values, self.device, dtype)


def required(value: T | None, name: str) -> T:
    """Return `value`.

    Raises:
        ValueError: it is None; names what the observation lacks.
    """
    if value is None:
        raise ValueError(f"this model needs observations with `{name}`")
    return value
