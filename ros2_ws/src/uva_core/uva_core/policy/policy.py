# SPDX-License-Identifier: Apache-2.0
"""The five jobs of a trained UVA: observations in, action chunks and frames out (paper, section III-D)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from uva_core.actions import ActionSequence
from uva_core.diffusion.config import SamplingConfig
from uva_core.modes import MaskMode
from uva_core.network.inputs import ModelInputs
from uva_core.observation.observation import Observation
from uva_core.policy.decoding import PredictionDecoder
from uva_core.policy.encoding import ObservationEncoder, required
from uva_core.policy.noise import Noise
from uva_core.policy.predictions import ActionPrediction, JointPrediction, VideoPrediction
from uva_core.policy.timing import Stopwatch
from uva_core.policy.trained_model import TrainedModel


class UvaPolicy(TrainedModel):
    """The five jobs of a trained model.

    What the five calls have in common:
        observations: B observations.
        seeds: B seeds; equal seeds and observations give equal predictions, on any device, in any batch.
        sampling: sampler, steps and temperatures; the checkpoint's by default.
        iterations: autoregressive steps of the video; more give more detail and take longer.

    Actions are in task units: EEF targets in the base frame. All calls raise ValueError when an observation lacks what
    the model takes, has it in another shape, or when the checkpoint has no head for the job.
    """

    def encode(self, observations: Sequence[Observation], noise: Noise, *, history: bool = True) -> ModelInputs:
        """Return the network's inputs of B observations, see `ObservationEncoder.encode`."""
        return self._encoder.encode(observations, noise, history=history)

    def predict_actions(
        self, observations: Sequence[Observation], seeds: Sequence[int] | Noise, sampling: SamplingConfig | None = None
    ) -> list[ActionPrediction]:
        """Policy: history in, B action chunks out. The video head does not run (paper, section III-C)."""
        noise, clock = self._start(MaskMode.POLICY, seeds)
        inputs = self.encode(observations, noise)
        clock.lap("tokenizer")
        return self._actions(inputs, observations, noise, sampling, clock)

    def predict_video(
        self,
        observations: Sequence[Observation],
        seeds: Sequence[int] | Noise,
        sampling: SamplingConfig | None = None,
        iterations: int = 1,
    ) -> list[VideoPrediction]:
        """Video model: history in, B times h future frames out. The action head does not run."""
        noise, clock = self._start(MaskMode.VIDEO, seeds)
        inputs = self.encode(observations, noise)
        clock.lap("tokenizer")
        decoder = self._decoder(sampling)
        *_, last = decoder.generate(inputs, noise, iterations)
        clock.lap("video")
        return decoder.frames(last, clock)

    def stream_video(
        self,
        observations: Sequence[Observation],
        seeds: Sequence[int] | Noise,
        sampling: SamplingConfig | None = None,
        iterations: int = 1,
    ) -> Iterator[list[VideoPrediction]]:
        """Predict as `predict_video`, and yield the frames as they complete, after each autoregressive step.

        Positions that are not generated yet are what the tokenizer makes of zeros; `share` says how many there are.
        """
        noise, clock = self._start(MaskMode.VIDEO, seeds)
        inputs = self.encode(observations, noise)
        clock.lap("tokenizer")
        decoder = self._decoder(sampling)
        for step in decoder.generate(inputs, noise, iterations):
            clock.lap("video")
            yield decoder.frames(step, clock)

    def predict_forward(
        self,
        observation: Observation,
        candidates: Sequence[ActionSequence],
        seeds: Sequence[int] | Noise,
        sampling: SamplingConfig | None = None,
        iterations: int = 1,
        frames: Sequence[int] | None = None,
    ) -> list[VideoPrediction]:
        """Forward dynamics: what each of K action sequences, at `action_times_s`, would look like.

        The history is tokenized once. With `frames`, indices from 0 to h - 1, only these are sampled and decoded.

        Raises:
            ValueError: also for no candidates, actions of another shape, or frames that are not predicted.
        """
        noise, clock = self._start(MaskMode.FORWARD_DYNAMICS, seeds)
        if not candidates:
            raise ValueError("no candidates to predict")
        known = set(range(self.config.model.frames))
        if frames is not None and not (frames and len(set(frames)) == len(frames) and set(frames) <= known):
            raise ValueError(f"frames {list(frames)}; choose some of 0 to {self.config.model.frames - 1}, each once")
        inputs = self.encode([observation], noise.first()).expand(len(candidates))
        vectors = [candidate.vectors for candidate in candidates]
        inputs.actions = self._encoder.normalize_actions(vectors, [observation] * len(candidates))
        clock.lap("tokenizer")
        decoder = self._decoder(sampling)
        *_, last = decoder.generate(inputs, noise, iterations, frames)
        clock.lap("video")
        return decoder.frames(last, clock, frames)

    def predict_inverse(
        self,
        observations: Sequence[Observation],
        futures: Sequence[Tensor],
        seeds: Sequence[int] | Noise,
        sampling: SamplingConfig | None = None,
        wrist_futures: Sequence[Tensor] | None = None,
    ) -> list[ActionPrediction]:
        """Inverse dynamics: which actions led to the frames that were then seen. History frames are not used.

        `futures` are B times (h, 3, S, S) frames in [-1, 1], taken at `ObservationConfig.frame_times_s` after the
        observation; `wrist_futures` the same of the wrist camera, for models that predict it.
        """
        noise, clock = self._start(MaskMode.INVERSE_DYNAMICS, seeds)
        inputs = self.encode(observations, noise, history=False)
        inputs.future = self._encoder.tokenize(futures, noise)
        if self.config.model.wrist_future:
            inputs.wrist_future = self._encoder.tokenize(required(wrist_futures, "wrist_futures"), noise)
        clock.lap("tokenizer")
        return self._actions(inputs, observations, noise, sampling, clock)

    def predict_joint(
        self,
        observations: Sequence[Observation],
        seeds: Sequence[int] | Noise,
        sampling: SamplingConfig | None = None,
        iterations: int = 1,
    ) -> list[JointPrediction]:
        """Policy and planner: history in, actions and the frames that go with them out, from one latent.

        The actions are decoded once, from the latent of the last autoregressive step, as published. Frames that several
        of the observations share are tokenized once.
        """
        noise, clock = self._start(MaskMode.POLICY_PLANNER, seeds)
        inputs = self.encode(observations, noise)
        clock.lap("tokenizer")
        decoder = self._decoder(sampling)
        *_, last = decoder.generate(inputs, noise, iterations)
        clock.lap("video")
        actions = decoder.actions(last.z, observations, noise, clock)
        return [JointPrediction(*pair) for pair in zip(actions, decoder.frames(last, clock), strict=True)]

    @property
    def _encoder(self) -> ObservationEncoder:
        parts = (self.tokenizer, self.action_normalizer, self.proprioception_normalizer)
        return ObservationEncoder(self.config, *parts, self.device, next(self.model.parameters()).dtype)

    def _decoder(self, sampling: SamplingConfig | None) -> PredictionDecoder:
        sampling = sampling or self.config.sampling
        return PredictionDecoder(self.config, self.tokenizer, self.model, self.action_normalizer, sampling)

    def _start(self, mode: MaskMode, seeds: Sequence[int] | Noise) -> tuple[Noise, Stopwatch]:
        """Refuse a mode whose head is missing, and warn once of one that was not trained."""
        if reason := self.impossible(mode):
            raise ValueError(reason)
        warning = self.untrained(mode)
        if warning and mode not in self._warned:
            self._warned.add(mode)
            warnings.warn(warning, stacklevel=3)
        return Noise.of(seeds, self.device), Stopwatch(self.device)

    @torch.no_grad()
    def _actions(
        self,
        inputs: ModelInputs,
        observations: Sequence[Observation],
        noise: Noise,
        sampling: SamplingConfig | None,
        clock: Stopwatch,
    ) -> list[ActionPrediction]:
        z = self.model(inputs)
        clock.lap("transformer")
        return self._decoder(sampling).actions(z, observations, noise, clock)
