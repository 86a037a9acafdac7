# SPDX-License-Identifier: Apache-2.0
"""A trained UVA, ready to be asked: observations in, action chunks and frames out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from uva_core import checkpoint, images, poses
from uva_core.config import SamplingConfig, UvaConfig, from_dict, to_dict
from uva_core.diffusion import make_scheduler
from uva_core.model import ModelInputs, Uva
from uva_core.normalizer import LinearNormalizer
from uva_core.observation import Observation, ObservationBuffer, proprioception
from uva_core.sampling import Noise, generate_video, sample_actions
from uva_core.tokenizer import Tokenizer


@dataclass(frozen=True)
class ActionSequence:
    """EEF targets.

    Attributes:
        poses: (T, 4, 4) in the base frame.
        gripper_width: (T,) m.
    """

    poses: NDArray[np.float64]
    gripper_width: NDArray[np.float64]


@dataclass(frozen=True)
class ActionPrediction(ActionSequence):
    """One action chunk.

    Attributes:
        time_from_observation_s: (T,) when each pose is to be reached, after the newest observation.
        stage_s: seconds spent per stage (of the whole batch).
    """

    time_from_observation_s: NDArray[np.float64]
    stage_s: dict[str, float]


@dataclass(frozen=True)
class VideoPrediction:
    """Future frames of one observation.

    Attributes:
        time_from_observation_s: (h,) the times they predict, after the newest observation.
        frames: (h, S, S, 3) uint8 RGB.
    """

    time_from_observation_s: NDArray[np.float64]
    frames: NDArray[np.uint8]


class UvaPolicy(nn.Module):
    """Tokenizer, network and normalizers, with the configuration that makes them one."""

    def __init__(self, config: UvaConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = Tokenizer(config.tokenizer)
        self.model = Uva(config.model)
        self.action_normalizer = LinearNormalizer(config.model.action_dim)
        self.proprioception_normalizer = LinearNormalizer(config.model.proprioception_dim)
        self.eval()

    @classmethod
    def load(cls, path: str | Path) -> UvaPolicy:
        """Load a checkpoint written by `save`.

        Raises:
            checkpoint.CheckpointError: missing, damaged, or with tensors that do not fit its configuration.
        """
        tensors, values = checkpoint.load(path)
        try:
            policy = cls(from_dict(UvaConfig, values))
        except ValueError as error:
            raise checkpoint.CheckpointError(f"{path}: {error}") from None
        checkpoint.load_module(policy, tensors, "", path)
        return policy

    def save(self, path: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write weights (as `dtype` when given), normalizers and configuration to one safetensors file."""
        weights = {name for name, _ in self.named_parameters()}
        tensors = {n: t.to(dtype) if dtype and n in weights else t for n, t in self.state_dict().items()}
        checkpoint.save(path, tensors, to_dict(self.config))

    def make_buffer(self, *, pad_start: bool = False) -> ObservationBuffer:
        """Return an empty observation buffer that feeds this policy."""
        return ObservationBuffer(self.config.observation, self.config.tokenizer.image_size, pad_start=pad_start)

    def blank_observation(self) -> Observation:
        """Return grey frames and a robot at the origin: for warming up and timing."""
        c, size = self.config.model, self.config.tokenizer.image_size
        still = np.tile(np.eye(4), (c.frames, 1, 1))
        return Observation(0.0, torch.zeros(c.frames, 3, size, size), still, np.zeros(c.frames), np.eye(4))

    @property
    def action_times_s(self) -> NDArray[np.float64]:
        """(T,) when each action is to be reached, after the newest observation."""
        o = self.config.observation
        return (o.first_action_step + np.arange(self.config.model.action_steps)) / o.rate_hz

    @property
    def frame_times_s(self) -> NDArray[np.float64]:
        """(h,) times of the predicted frames, after the newest observation."""
        offsets = self.config.observation.frame_offsets
        stride = offsets[-1] - offsets[-2]
        return np.asarray(stride * (1.0 + np.arange(self.config.model.frames)) / self.config.observation.rate_hz)

    @torch.no_grad()
    def encode(self, observations: Sequence[Observation], noise: Noise) -> ModelInputs:
        """Tokenize the history frames and normalize the robot state of a batch of observations."""
        c = self.config
        history = self._tokenize(torch.stack([o.frames for o in observations]), noise)
        state = None
        if c.model.proprioception_dim:
            absolute = c.observation.absolute_proprioception
            vectors = [
                proprioception(o.eef_pose, o.gripper_width, o.start_pose, absolute=absolute) for o in observations
            ]
            state = self.proprioception_normalizer.normalize(torch.from_numpy(np.stack(vectors)).float())
        return ModelInputs(history=history, proprioception=state)

    def predict_actions(
        self, observations: Sequence[Observation], seeds: Sequence[int], sampling: SamplingConfig | None = None
    ) -> list[ActionPrediction]:
        """Policy: history in, action chunks out. The video head does not run (paper, section III-C).

        Args:
            observations: B observations.
            seeds: B seeds; equal seeds and observations give equal chunks, whatever else is in the batch.
            sampling: sampler, steps and temperature; the checkpoint's by default.

        Returns:
            B chunks in the base frame.
        """
        noise, clock = Noise(seeds), _Stopwatch()
        inputs = self.encode(observations, noise)
        clock.lap("tokenizer")
        return self._decode_actions(inputs, observations, noise, sampling or self.config.sampling, clock)

    def predict_video(
        self,
        observations: Sequence[Observation],
        seeds: Sequence[int],
        sampling: SamplingConfig | None = None,
        iterations: int = 1,
    ) -> list[VideoPrediction]:
        """Video model: history in, future frames out. The action head does not run.

        Args:
            observations: B observations.
            seeds: B seeds.
            sampling: sampler, steps and temperature; the checkpoint's by default.
            iterations: autoregressive steps; more give more detail and take longer.

        Returns:
            B predictions of h frames.
        """
        noise = Noise(seeds)
        inputs = self.encode(observations, noise)
        return self._decode_video(inputs, noise, sampling or self.config.sampling, iterations)

    def predict_forward(
        self,
        observation: Observation,
        candidates: Sequence[ActionSequence],
        seeds: Sequence[int],
        sampling: SamplingConfig | None = None,
        iterations: int = 1,
    ) -> list[VideoPrediction]:
        """Forward dynamics: what each of K action sequences would look like. The history is tokenized once.

        Args:
            observation: one observation.
            candidates: K action sequences, at the times of `action_times_s`.
            seeds: K seeds.
            sampling: sampler, steps and temperature; the checkpoint's by default.
            iterations: autoregressive steps.

        Returns:
            K predictions of h frames.
        """
        noise, count = Noise(seeds), len(candidates)
        inputs = self.encode([observation], Noise(seeds[:1]))
        vectors = [poses.encode(poses.relative_to(observation.base_pose, c.poses), c.gripper_width) for c in candidates]
        inputs.history = inputs.history.expand(count, -1, -1, -1, -1)
        if inputs.proprioception is not None:
            inputs.proprioception = inputs.proprioception.expand(count, -1, -1)
        inputs.actions = self.action_normalizer.normalize(torch.from_numpy(np.stack(vectors)).float())
        return self._decode_video(inputs, noise, sampling or self.config.sampling, iterations)

    def predict_inverse(
        self,
        observations: Sequence[Observation],
        futures: Sequence[Tensor],
        seeds: Sequence[int],
        sampling: SamplingConfig | None = None,
    ) -> list[ActionPrediction]:
        """Inverse dynamics: which actions led to the frames that were then seen. History frames are not used.

        Args:
            observations: B observations; of them the robot states and the base pose count.
            futures: B times (h, 3, S, S) frames in [-1, 1], taken at `frame_times_s` after the observation.
            seeds: B seeds.
            sampling: sampler, steps and temperature; the checkpoint's by default.

        Returns:
            B chunks in the base frame.
        """
        noise, clock = Noise(seeds), _Stopwatch()
        inputs = self.encode(observations, noise)
        inputs.future = self._tokenize(torch.stack(list(futures)), noise)
        inputs.history_missing = torch.ones(len(observations), dtype=torch.bool)
        clock.lap("tokenizer")
        return self._decode_actions(inputs, observations, noise, sampling or self.config.sampling, clock)

    @torch.no_grad()
    def reconstruct(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Send camera images through the tokenizer and back: (n, H, W, 3) -> (n, S, S, 3) uint8 RGB."""
        c = self.config
        frames = images.prepare(pictures, c.tokenizer.image_size, c.observation.resize)
        return images.to_uint8(self.tokenizer.decode(self.tokenizer.encode(frames)))

    @torch.no_grad()
    def _tokenize(self, frames: Tensor, noise: Noise) -> Tensor:
        """(B, h, 3, S, S) images -> (B, h, C, H, W) scaled latents."""
        c, size = self.config, self.config.tokenizer.latent_size
        posterior = None
        if c.tokenizer.sample_posterior:
            posterior = noise.normal(c.model.frames, c.model.latent_channels, size, size).flatten(0, 1)
        return self.tokenizer.encode(frames.flatten(0, 1), posterior).unflatten(0, frames.shape[:2])

    @torch.no_grad()
    def _decode_actions(
        self,
        inputs: ModelInputs,
        observations: Sequence[Observation],
        noise: Noise,
        s: SamplingConfig,
        clock: _Stopwatch,
    ) -> list[ActionPrediction]:
        """Run the network and the action head; smooth each chunk and put it into the base frame."""
        c = self.config.model
        z = self.model(inputs)
        clock.lap("transformer")
        scheduler = make_scheduler(s.sampler, c.train_timesteps, s.action_steps, clip=1.0)
        start = noise.normal(c.action_steps, c.action_dim)
        steps = noise.normal(s.action_steps, c.action_steps, c.action_dim) if s.action_temperature else None
        actions = sample_actions(self.model, z, scheduler, start, steps, s.action_temperature)
        clock.lap("action_head")
        predictions = []
        for vector, observation in zip(self.action_normalizer.unnormalize(actions), observations, strict=True):
            smooth = poses.smooth(vector.double().numpy(), self.config.observation.smooth_actions)
            relative, width = poses.decode(smooth)
            # All steps against one base pose: a chunk that is re-anchored step by step drifts.
            predictions.append(
                ActionPrediction(observation.base_pose @ relative, width, self.action_times_s, clock.laps)
            )
        return predictions

    @torch.no_grad()
    def _decode_video(
        self, inputs: ModelInputs, noise: Noise, s: SamplingConfig, iterations: int
    ) -> list[VideoPrediction]:
        """Run the network and the video head, once for each iteration, and decode the frames."""
        c = self.config.model
        scheduler = make_scheduler(s.sampler, c.train_timesteps, s.video_steps, clip=s.video_clip)
        orders = noise.orders(c.tokens_per_frame)
        start = noise.normal(c.sequence_length, c.token_dim)
        steps = noise.normal(s.video_steps, c.sequence_length, c.token_dim) if s.video_temperature else None
        *_, latents = generate_video(
            self.model, inputs, scheduler, start, steps, s.video_temperature, orders, iterations
        )
        frames = images.to_uint8(self.tokenizer.decode(latents.flatten(0, 1)).unflatten(0, latents.shape[:2]))
        return [VideoPrediction(self.frame_times_s, sample) for sample in frames]


class _Stopwatch:
    """Seconds between laps, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now
