# SPDX-License-Identifier: Apache-2.0
"""What each mask mode gives to the model, and what the model returns. No ROS in here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from uva_core import MaskMode
from uva_core.actions import ActionSequence
from uva_core.diffusion.config import SamplingConfig
from uva_core.modes import RULES
from uva_core.observation.buffer import ObservationBuffer, ObservationNotReadyError
from uva_core.observation.observation import Observation
from uva_core.policy.policy import UvaPolicy
from uva_core.policy.predictions import ActionPrediction, VideoPrediction


@dataclass(frozen=True, eq=False)
class Task:
    """What the model has to do. Results for a task that is no longer in force are thrown away.

    Attributes:
        mode: the mask mode.
        instruction: "" for none.
        text: the instruction's language latent, for models that follow one.
    """

    mode: MaskMode
    instruction: str = ""
    text: Tensor | None = None


@dataclass(frozen=True)
class PredictionInputs:
    """What one inference gets.

    Attributes:
        observation: the newest, or for inverse dynamics the one whose future has just been seen.
        future: (h, 3, S, S) frames seen after the observation, for inverse dynamics.
        query: actions whose effect is predicted, for forward dynamics; None: the policy's own.
    """

    observation: Observation
    future: Tensor | None = None
    query: ActionSequence | None = None


@dataclass(frozen=True)
class Result:
    """What one inference returns.

    Attributes:
        observation: what it was computed from.
        actions: one sequence, or the candidates; empty in modes without actions.
        video: predicted frames, of the first candidate; None in modes without video.
        stage_s: seconds by stage.
    """

    observation: Observation
    actions: tuple[ActionPrediction, ...] = ()
    video: VideoPrediction | None = None
    stage_s: dict[str, float] = field(default_factory=dict)


class Predictor:
    """A model with its sampling settings. Not for several threads at once."""

    def __init__(
        self, policy: UvaPolicy, sampling: SamplingConfig, *, video_iterations: int = 1, candidates: int = 1
    ) -> None:
        self.policy = policy
        self._sampling, self._iterations, self._candidates = sampling, video_iterations, candidates
        self._warm: set[MaskMode] = set()

    def text(self, instruction: str) -> Tensor | None:
        """Return the language latent of an instruction, None for "".

        Raises:
            ValueError: the checkpoint does not know it (the message lists those it knows), or has no language.
        """
        if not instruction:
            return None
        if not self.policy.config.model.text_dim:
            raise ValueError("this checkpoint follows no instructions: it was trained without language")
        return self.policy.instructions.latent(instruction)

    def inputs(self, task: Task, buffer: ObservationBuffer, query: ActionSequence | None = None) -> PredictionInputs:
        """Take what the task needs from the history.

        Raises:
            ObservationNotReadyError: the history has a gap or is too short, or an instruction or a query is missing.
        """
        c = self.policy.config.model
        if c.text_dim and task.text is None:
            known = "; ".join(f"'{name}'" for name in self.policy.instructions.names)
            raise ObservationNotReadyError(f"this checkpoint needs an instruction: {known}")
        if RULES[task.mode].future_given:
            times_s = self.policy.frame_times_s
            observation = buffer.sample(buffer.newest_s - float(times_s[-1]))
            future = buffer.frames_at(observation.stamp_s + times_s)
        else:
            observation, future = buffer.sample(), None
        if not RULES[task.mode].actions_given:
            query = None
        elif query is None and c.action_head is None:
            raise ObservationNotReadyError(
                "this checkpoint predicts no actions of its own: publish some on uva/query_chunk"
            )
        return PredictionInputs(replace(observation, text=task.text), future, query)

    def warm_up(self, mode: MaskMode) -> None:
        """Run the model once in this mode, unless this was done before: the first run is slow."""
        if mode in self._warm:
            return
        blank = self.policy.blank_observation()
        steps = self.policy.config.model.action_steps
        still = ActionSequence.from_poses(np.tile(np.eye(4), (steps, 1, 1)), np.zeros(steps))
        self.predict(mode, PredictionInputs(blank, torch.zeros_like(blank.frames), still), seed=0)
        self._warm.add(mode)

    def predict(self, mode: MaskMode, inputs: PredictionInputs, seed: int) -> Result:
        """Run the model. Candidates use `seed` and the seeds that follow.

        Raises:
            ValueError: the model cannot do this, or not with these settings.
        """
        if mode is MaskMode.POLICY_PLANNER:
            return self._candidates_and_frames(inputs.observation, seed)
        if mode is MaskMode.POLICY:
            (chunk,) = self.policy.predict_actions([inputs.observation], [seed], self._sampling)
        elif mode is MaskMode.INVERSE_DYNAMICS:
            assert inputs.future is not None
            (chunk,) = self.policy.predict_inverse([inputs.observation], [inputs.future], [seed], self._sampling)
        else:
            return self._future_frames(mode, inputs, seed)
        return Result(inputs.observation, (chunk,), stage_s=chunk.stage_s)

    def _candidates_and_frames(self, observation: Observation, seed: int) -> Result:
        seeds = range(seed, seed + self._candidates)
        joint = self.policy.predict_joint([observation] * len(seeds), seeds, self._sampling, self._iterations)
        actions = tuple(prediction.actions for prediction in joint)
        return Result(observation, actions, joint[0].video, joint[0].stage_s)

    def _future_frames(self, mode: MaskMode, inputs: PredictionInputs, seed: int) -> Result:
        """Predict frames: in forward dynamics for the actions of the query, or else for the policy's own."""
        policy, observation, query = self.policy, inputs.observation, inputs.query
        stage_s: dict[str, float] = {}
        if mode is MaskMode.FORWARD_DYNAMICS and query is None:
            (query,) = policy.predict_actions([observation], [seed], self._sampling)
            stage_s = query.stage_s
        if query is None or mode is MaskMode.VIDEO:
            (video,) = policy.predict_video([observation], [seed], self._sampling, self._iterations)
        else:
            (video,) = policy.predict_forward(observation, [query], [seed], self._sampling, self._iterations)
        summed = {stage: stage_s.get(stage, 0.0) + seconds for stage, seconds in video.stage_s.items()}
        return Result(observation, (), video, stage_s | summed)
