# SPDX-License-Identifier: Apache-2.0
"""Joint latents to predictions: denoise the heads, decode frames, and bring actions back to task units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uva_core import actions, images, poses
from uva_core.config import UvaConfig
from uva_core.devices import to_host
from uva_core.diffusion.config import SamplingConfig
from uva_core.diffusion.schedule import make_schedule
from uva_core.network.inputs import ModelInputs
from uva_core.network.model import Uva
from uva_core.network.tokenizer import Tokenizer
from uva_core.normalizer import LinearNormalizer
from uva_core.observation.observation import Observation
from uva_core.policy.generation import GenerationStep, generate_video, sample_sequence
from uva_core.policy.noise import Noise
from uva_core.policy.predictions import ActionPrediction, VideoPrediction
from uva_core.policy.timing import Stopwatch


@dataclass(frozen=True)
class PredictionDecoder:
    """Decode batches for one policy."""

    config: UvaConfig
    tokenizer: Tokenizer
    model: Uva
    action_normalizer: LinearNormalizer
    sampling: SamplingConfig

    @torch.no_grad()
    def actions(
        self, z: Tensor, observations: Sequence[Observation], noise: Noise, clock: Stopwatch
    ) -> list[ActionPrediction]:
        """Run the action head; smooth each chunk and bring it to task units against its observation."""
        c, o, s = self.config.model, self.config.observation, self.sampling
        schedule = make_schedule(s.sampler, c.train_timesteps, s.action_steps, clip=1.0)
        rows = noise.rows(c.action_steps, c.action_dim, s.action_steps if s.action_temperature else 0)
        normalized = sample_sequence(self.model.action_head, z, schedule, rows, s.action_temperature)
        vectors = to_host(self.action_normalizer.unnormalize(normalized).double())
        clock.lap("action_head")
        times = o.action_times_s(c.action_steps)
        return [
            ActionPrediction(
                actions.from_model(poses.smooth(vector, o.smooth_actions), observation.base_pose, o.action_space),
                times,
                dict(clock.laps),
            )
            for vector, observation in zip(vectors, observations, strict=True)
        ]

    def generate(
        self, inputs: ModelInputs, noise: Noise, iterations: int, frames: Sequence[int] | None = None
    ) -> Iterator[GenerationStep]:
        """Run the network and the video heads, once for each iteration; see `generate_video`."""
        c, s = self.config.model, self.sampling
        schedule = make_schedule(s.sampler, c.train_timesteps, s.video_steps, clip=s.video_clip)
        orders = noise.orders(c.tokens_per_frame)
        steps = s.video_steps if s.video_temperature else 0
        rows = noise.rows(c.sequence_length, c.token_dim, steps)
        wrist = noise.rows(c.sequence_length, c.token_dim, steps) if c.wrist_future else None
        temperature = s.video_temperature
        return generate_video(self.model, inputs, schedule, rows, temperature, orders, iterations, wrist, frames)

    @torch.no_grad()
    def frames(
        self, step: GenerationStep, clock: Stopwatch, chosen: Sequence[int] | None = None
    ) -> list[VideoPrediction]:
        """Decode the latents of a batch; `chosen` frames only, in order of time."""
        index = list(range(self.config.model.frames)) if chosen is None else sorted(chosen)

        def decode(latents: Tensor) -> NDArray[np.uint8]:
            wanted = latents if chosen is None else latents[:, index]
            pixels = self.tokenizer.decode(wanted.flatten(0, 1).to(step.z.dtype))
            return images.to_uint8(pixels.float().unflatten(0, wanted.shape[:2]))

        frames = decode(step.video)
        wrist = [None] * len(frames) if step.wrist is None else decode(step.wrist)
        clock.lap("decoder")
        times = self.config.observation.frame_times_s[index]
        return [VideoPrediction(times, f, w, step.share, dict(clock.laps)) for f, w in zip(frames, wrist, strict=True)]
