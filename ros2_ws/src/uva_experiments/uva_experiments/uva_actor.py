# SPDX-License-Identifier: Apache-2.0
"""A UVA policy as the actor of batched roll-outs, with the delays of the running stack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arx_x5_sim.tasks.cartesian_env import RATE_HZ, Action, Observation
from uva_core import poses
from uva_core.diffusion.config import SamplingConfig
from uva_core.policy.policy import UvaPolicy
from uva_core.policy.predictions import ActionPrediction

EXECUTE_STEPS = 2  # between two plans, as the node at 5 Hz


class UvaActor:
    """Plan every `execute` steps; a chunk takes effect `latency_steps` after the observation it was made from."""

    def __init__(
        self,
        policy: UvaPolicy,
        seeds: Sequence[int],
        *,
        execute: int = EXECUTE_STEPS,
        latency_steps: int = 1,
        sampling: SamplingConfig | None = None,
    ) -> None:
        """Act in as many environments as there are seeds.

        Args:
            policy: the model.
            seeds: one per environment; equal seeds give equal roll-outs, whatever else is in the batch.
            execute: steps between two plans.
            latency_steps: steps from an observation until its chunk takes effect.
            sampling: None: the checkpoint's.
        """
        self.policy, self.seeds, self.sampling = policy, seeds, sampling
        self.execute, self.latency_steps = execute, latency_steps
        self.buffers = [policy.make_buffer(pad_start=True) for _ in seeds]
        self._step = 0
        self._chunks: list[tuple[int, list[ActionPrediction]]] = []  # (step of the observation, one per environment)

    def __call__(self, observations: list[Observation]) -> list[Action]:
        """Return an action for each observation.

        Raises:
            ValueError: an observation has no image.
        """
        stamp = self._step / RATE_HZ
        for buffer, o in zip(self.buffers, observations, strict=True):
            if o.image is None:
                raise ValueError("this policy needs images: give the roll-out a camera")
            buffer.add_image(stamp, o.image)
            buffer.add_pose(stamp, poses.matrix_from_quaternion(o.position, o.quaternion), o.gripper_width)
        if self._step % self.execute == 0:
            samples = [buffer.sample() for buffer in self.buffers]
            seeds = [seed * 1000 + self._step for seed in self.seeds]
            self._chunks.append((self._step, self.policy.predict_actions(samples, seeds, self.sampling)))
            self._chunks = self._chunks[-2:]
        ready = [entry for entry in self._chunks if entry[0] + self.latency_steps <= self._step]
        actions = [self._hold(o) for o in observations] if not ready else self._follow(*ready[-1])
        self._step += 1
        return actions

    def _follow(self, planned: int, chunks: list[ActionPrediction]) -> list[Action]:
        first = self.policy.config.observation.first_action_step
        i = min(self._step - planned + 1 - first, len(chunks[0].vectors) - 1)
        targets, widths = poses.decode(np.stack([chunk.vectors[i] for chunk in chunks]))
        quaternions = poses.quaternion_from_matrix(targets)
        return [
            Action(target[:3, 3], quaternion, float(width))
            for target, quaternion, width in zip(targets, quaternions, widths, strict=True)
        ]

    @staticmethod
    def _hold(o: Observation) -> Action:
        return Action(np.asarray(o.position), np.asarray(o.quaternion), o.gripper_width)
