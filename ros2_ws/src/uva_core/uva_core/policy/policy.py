# SPDX-License-Identifier: Apache-2.0
"""A trained UVA, ready to be asked: observations in, action chunks and frames out."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from uva_core import images, poses
from uva_core.actions import ActionSequence
from uva_core.checkpoint import safetensors_file as checkpoint
from uva_core.config import UvaConfig
from uva_core.diffusion.config import SamplingConfig
from uva_core.diffusion.schedule import make_scheduler
from uva_core.modes import RULES, MaskMode
from uva_core.network.language import InstructionTable
from uva_core.network.model import ModelInputs, Uva
from uva_core.network.tokenizer import Tokenizer
from uva_core.normalizer import LinearNormalizer
from uva_core.observation.buffer import ObservationBuffer
from uva_core.observation.observation import Observation, proprioception
from uva_core.policy.generation import GenerationStep, generate_video, sample_sequence
from uva_core.policy.noise import Noise
from uva_core.policy.predictions import ActionPrediction, JointPrediction, VideoPrediction
from uva_core.serialization import to_dict

T = TypeVar("T")


class UvaPolicy(nn.Module):
    """Tokenizer, network and normalizers, with the configuration that makes them one."""

    def __init__(self, config: UvaConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = Tokenizer(config.tokenizer)
        self.model = Uva(config.model)
        self.action_normalizer = LinearNormalizer(config.model.action_dim)
        self.proprioception_normalizer = LinearNormalizer(config.model.proprioception_dim)
        self.instructions = InstructionTable(config.instructions, config.model.text_dim)
        self._warned: set[MaskMode] = set()
        self.eval()

    @classmethod
    def load(cls, path: str | Path) -> UvaPolicy:
        """Load a checkpoint written by `save`.

        Raises:
            checkpoint.CheckpointError: missing, damaged, or with tensors that do not fit its configuration.
        """
        return checkpoint.load_module(path, cls, UvaConfig)

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
        frames = torch.zeros(c.frames, 3, size, size)
        still = np.tile(np.eye(4), (c.frames, 1, 1))
        return Observation(
            0.0,
            frames,
            still,
            np.zeros(c.frames),
            wrist_frames=frames if c.wrist_history else None,
            state=np.zeros((c.proprioception_steps, c.proprioception_dim)),
            text=torch.zeros(c.text_dim) if c.text_dim else None,
        )

    def impossible(self, mode: MaskMode) -> str | None:
        """Return why the checkpoint cannot be used in `mode` at all, else None."""
        if RULES[mode].decodes_actions and self.config.model.action_head is None:
            return f"this checkpoint has no action head: mask mode '{mode.value}' is not possible"
        return None

    def untrained(self, mode: MaskMode) -> str | None:
        """Return a warning if the checkpoint is known not to have been trained in `mode`, else None."""
        trained = self.config.trained_modes
        if not trained or mode.value in trained:
            return None
        return f"this checkpoint was never trained in mask mode '{mode.value}', only in: {', '.join(trained)}"

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
    def encode(self, observations: Sequence[Observation], noise: Noise, *, history: bool = True) -> ModelInputs:
        """Tokenize the history frames and normalize what else a batch of observations gives.

        Args:
            observations: B observations.
            noise: for samples of the tokenizer's posterior.
            history: False leaves the history frames out (inverse dynamics does not see them).

        Raises:
            ValueError: an observation lacks what the model takes, or has it in another shape; the message says what.
        """
        c, m = self.config, self.config.model
        size = c.tokenizer.latent_size
        if history:
            latents = self._tokenize([o.frames for o in observations], noise)
        else:
            latents = torch.zeros(len(observations), m.frames, m.latent_channels, size, size)
        inputs = ModelInputs(history=latents, history_missing=None if history else torch.ones(len(latents)).bool())
        if m.wrist_history:
            frames = [self._required(o.wrist_frames, "wrist_frames") for o in observations]
            inputs.wrist_history = self._tokenize(frames, noise)
        if m.proprioception_dim:
            states = torch.from_numpy(np.stack([self._state(o) for o in observations])).float()
            inputs.proprioception = self.proprioception_normalizer.normalize(states)
        if m.past_actions:
            inputs.past_actions, inputs.past_actions_missing = self._past_actions(observations)
        if m.text_dim:
            inputs.text = torch.stack([self._required(o.text, "text") for o in observations])
        return inputs

    @staticmethod
    def _required(value: T | None, name: str) -> T:
        if value is None:
            raise ValueError(f"this model needs observations with `{name}`")
        return value

    def _state(self, o: Observation) -> NDArray[np.float64]:
        """Robot state (S, P) in task units."""
        c = self.config
        if c.observation.state_space == "vector":
            state = self._required(o.state, "state")
        else:
            absolute = c.observation.state_space == "absolute_pose"
            state = proprioception(o.eef_pose, o.gripper_width, o.start_pose, absolute=absolute)
        expected = (c.model.proprioception_steps, c.model.proprioception_dim)
        if state.shape != expected:
            raise ValueError(f"this model takes a robot state of shape {expected}, got {state.shape}")
        return state

    def _past_actions(self, observations: Sequence[Observation]) -> tuple[Tensor, Tensor]:
        """Normalized past actions (B, T, A), and which are missing (B, T)."""
        c = self.config.model
        blank = np.zeros((c.action_steps, c.action_dim))
        given = [o.past_actions is not None for o in observations]
        rows = [blank if o.past_actions is None else self._to_model(o.past_actions, o) for o in observations]
        missing = ~torch.tensor(given)[:, None].expand(-1, c.action_steps)
        return self.action_normalizer.normalize(torch.from_numpy(np.stack(rows)).float()), missing

    def _to_model(self, vectors: NDArray[np.float64], o: Observation) -> NDArray[np.float64]:
        """Actions (T, A) in task units -> in the model's action space, not normalized.

        Raises:
            ValueError: another shape.
        """
        c = self.config
        expected = (c.model.action_steps, c.model.action_dim)
        if vectors.shape != expected:
            raise ValueError(f"this model takes actions of shape {expected}, got {vectors.shape}")
        if c.observation.action_space != "relative_pose":
            return vectors
        pose, width = poses.decode(vectors)
        return poses.encode(poses.relative_to(o.base_pose, pose), width)

    def _from_model(self, vectors: NDArray[np.float64], o: Observation) -> NDArray[np.float64]:
        """Smooth predicted actions (T, A) and put them into the base frame."""
        smooth = poses.smooth(vectors, self.config.observation.smooth_actions)
        if self.config.observation.action_space == "vector":
            return smooth
        pose, width = poses.decode(smooth)
        # All steps against one base pose: a chunk that is re-anchored step by step drifts.
        base = o.base_pose if self.config.observation.action_space == "relative_pose" else np.eye(4)
        return poses.encode(base @ pose, width)

    def predict_actions(
        self,
        observations: Sequence[Observation],
        seeds: Sequence[int] | Noise,
        sampling: SamplingConfig | None = None,
    ) -> list[ActionPrediction]:
        """Policy: history in, action chunks out. The video head does not run (paper, section III-C).

        Args:
            observations: B observations.
            seeds: B seeds; equal seeds and observations give equal chunks, whatever else is in the batch.
            sampling: sampler, steps and temperature; the checkpoint's by default.

        Returns:
            B chunks in the base frame.

        Raises:
            ValueError: an observation lacks what the model takes, or the checkpoint has no action head.
        """
        self._check(MaskMode.POLICY)
        noise, clock = Noise.of(seeds), _Stopwatch()
        inputs = self.encode(observations, noise)
        clock.lap("tokenizer")
        return self._decode_actions(inputs, observations, noise, sampling or self.config.sampling, clock)

    def predict_video(
        self,
        observations: Sequence[Observation],
        seeds: Sequence[int] | Noise,
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

        Raises:
            ValueError: an observation lacks what the model takes, or an impossible number of iterations.
        """
        *_, complete = self.stream_video(observations, seeds, sampling, iterations)
        return complete

    def stream_video(
        self,
        observations: Sequence[Observation],
        seeds: Sequence[int] | Noise,
        sampling: SamplingConfig | None = None,
        iterations: int = 1,
    ) -> Iterator[list[VideoPrediction]]:
        """As `predict_video`, and yield the frames as they complete, after each autoregressive step.

        Positions that are not generated yet are what the tokenizer makes of zeros; `share` says how many there are.
        """
        self._check(MaskMode.VIDEO)
        noise = Noise.of(seeds)
        inputs = self.encode(observations, noise)
        for step in self._generate(inputs, noise, sampling or self.config.sampling, iterations):
            yield self._frames(step)

    def predict_forward(
        self,
        observation: Observation,
        candidates: Sequence[ActionSequence],
        seeds: Sequence[int] | Noise,
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

        Raises:
            ValueError: no candidates, actions of another shape, or the observation lacks what the model takes.
        """
        self._check(MaskMode.FORWARD_DYNAMICS)
        if not candidates:
            raise ValueError("no candidates to predict")
        noise = Noise.of(seeds)
        once = self.encode([observation], noise.first())
        inputs = once.expand(len(candidates))
        vectors = np.stack([self._to_model(c.vectors, observation) for c in candidates])
        inputs.actions = self.action_normalizer.normalize(torch.from_numpy(vectors).float())
        *_, last = self._generate(inputs, noise, sampling or self.config.sampling, iterations)
        return self._frames(last)

    def predict_inverse(
        self,
        observations: Sequence[Observation],
        futures: Sequence[Tensor],
        seeds: Sequence[int] | Noise,
        sampling: SamplingConfig | None = None,
        wrist_futures: Sequence[Tensor] | None = None,
    ) -> list[ActionPrediction]:
        """Inverse dynamics: which actions led to the frames that were then seen. History frames are not used.

        Args:
            observations: B observations; of them all but the frames of the main camera count.
            futures: B times (h, 3, S, S) frames in [-1, 1], taken at `frame_times_s` after the observation.
            seeds: B seeds.
            sampling: sampler, steps and temperature; the checkpoint's by default.
            wrist_futures: the same of the wrist camera, for models that predict it.

        Returns:
            B chunks in the base frame.

        Raises:
            ValueError: an observation lacks what the model takes, or the checkpoint has no action head.
        """
        self._check(MaskMode.INVERSE_DYNAMICS)
        noise, clock = Noise.of(seeds), _Stopwatch()
        inputs = self.encode(observations, noise, history=False)
        inputs.future = self._tokenize(futures, noise)
        if self.config.model.wrist_future:
            inputs.wrist_future = self._tokenize(self._required(wrist_futures, "wrist_futures"), noise)
        clock.lap("tokenizer")
        return self._decode_actions(inputs, observations, noise, sampling or self.config.sampling, clock)

    def predict_joint(
        self,
        observations: Sequence[Observation],
        seeds: Sequence[int] | Noise,
        sampling: SamplingConfig | None = None,
        iterations: int = 1,
    ) -> list[JointPrediction]:
        """Policy and planner: history in, actions and the frames that go with them out, from one latent.

        The actions are decoded once, from the latent of the last autoregressive step, as published.

        Args:
            observations: B observations.
            seeds: B seeds.
            sampling: sampler, steps and temperature; the checkpoint's by default.
            iterations: autoregressive steps of the video.

        Returns:
            B pairs of a chunk and h frames.

        Raises:
            ValueError: an observation lacks what the model takes, or the checkpoint has no action head.
        """
        self._check(MaskMode.POLICY_PLANNER)
        s, noise, clock = sampling or self.config.sampling, Noise.of(seeds), _Stopwatch()
        inputs = self.encode(observations, noise)
        clock.lap("tokenizer")
        *_, last = self._generate(inputs, noise, s, iterations)
        clock.lap("video")
        actions = self._denoise_actions(last.z, observations, noise, s, clock)
        return [JointPrediction(*pair) for pair in zip(actions, self._frames(last), strict=True)]

    @torch.no_grad()
    def reconstruct(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Send camera images through the tokenizer and back: (n, H, W, 3) -> (n, S, S, 3) uint8 RGB."""
        c = self.config
        frames = images.prepare(pictures, c.tokenizer.image_size, c.observation.resize)
        return images.to_uint8(self.tokenizer.decode(self.tokenizer.encode(frames)))

    def _check(self, mode: MaskMode) -> None:
        """Refuse a mode whose head is missing, and warn once of one that was not trained."""
        if reason := self.impossible(mode):
            raise ValueError(reason)
        warning = self.untrained(mode)
        if warning and mode not in self._warned:
            self._warned.add(mode)
            warnings.warn(warning, stacklevel=3)

    @torch.no_grad()
    def _tokenize(self, frames: Sequence[Tensor], noise: Noise) -> Tensor:
        """B times (h, 3, S, S) images -> (B, h, C, H, W) scaled latents."""
        c, size = self.config, self.config.tokenizer.latent_size
        pixels = self.config.tokenizer.image_size
        expected = (c.model.frames, 3, pixels, pixels)
        if frames[0].shape != expected:
            raise ValueError(f"this model takes frames of shape {expected}, got {tuple(frames[0].shape)}")
        posterior = None
        if c.tokenizer.sample_posterior:
            posterior = noise.normal(c.model.frames, c.model.latent_channels, size, size).flatten(0, 1)
        return self.tokenizer.encode(torch.cat(list(frames)), posterior).unflatten(0, (len(frames), -1))

    @torch.no_grad()
    def _decode_actions(
        self,
        inputs: ModelInputs,
        observations: Sequence[Observation],
        noise: Noise,
        s: SamplingConfig,
        clock: _Stopwatch,
    ) -> list[ActionPrediction]:
        """Run the network and the action head."""
        z = self.model(inputs)
        clock.lap("transformer")
        return self._denoise_actions(z, observations, noise, s, clock)

    @torch.no_grad()
    def _denoise_actions(
        self, z: Tensor, observations: Sequence[Observation], noise: Noise, s: SamplingConfig, clock: _Stopwatch
    ) -> list[ActionPrediction]:
        """Run the action head; smooth each chunk and put it into the base frame."""
        c = self.config.model
        scheduler = make_scheduler(s.sampler, c.train_timesteps, s.action_steps, clip=1.0)
        rows = noise.rows(c.action_steps, c.action_dim, s.action_steps if s.action_temperature else 0)
        actions = sample_sequence(self.model.action_head, z, scheduler, rows, s.action_temperature)
        vectors = self.action_normalizer.unnormalize(actions).double().numpy()
        clock.lap("action_head")
        return [
            ActionPrediction(self._from_model(v, o), self.action_times_s, clock.laps)
            for v, o in zip(vectors, observations, strict=True)
        ]

    def _generate(
        self, inputs: ModelInputs, noise: Noise, s: SamplingConfig, iterations: int
    ) -> Iterator[GenerationStep]:
        """Run the network and the video heads, once for each iteration."""
        c = self.config.model
        scheduler = make_scheduler(s.sampler, c.train_timesteps, s.video_steps, clip=s.video_clip)
        orders = noise.orders(c.tokens_per_frame)
        steps = s.video_steps if s.video_temperature else 0
        rows = noise.rows(c.sequence_length, c.token_dim, steps)
        wrist = noise.rows(c.sequence_length, c.token_dim, steps) if c.wrist_future else None
        return generate_video(self.model, inputs, scheduler, rows, s.video_temperature, orders, iterations, wrist)

    @torch.no_grad()
    def _frames(self, step: GenerationStep) -> list[VideoPrediction]:
        """Decode the latents of a batch."""

        def decode(latents: Tensor) -> NDArray[np.uint8]:
            return images.to_uint8(self.tokenizer.decode(latents.flatten(0, 1)).unflatten(0, latents.shape[:2]))

        frames = decode(step.video)
        wrist = [None] * len(frames) if step.wrist is None else decode(step.wrist)
        share = 1 - float((step.masked & ~step.filled).float().mean())
        return [VideoPrediction(self.frame_times_s, f, w, share) for f, w in zip(frames, wrist, strict=True)]


class _Stopwatch:
    """Seconds between laps, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now
