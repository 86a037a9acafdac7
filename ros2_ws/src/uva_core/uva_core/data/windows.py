# SPDX-License-Identifier: Apache-2.0
"""Training windows: history and future frames, actions and robot state around each step of demonstrations."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uva_core import actions
from uva_core.data.demonstrations import Demonstrations
from uva_core.network.config import ModelConfig
from uva_core.observation.config import ObservationConfig
from uva_core.observation.observation import proprioception


class Windows:
    """One window for each of T steps, as tensors to index. Actions and states are not normalized.

    Attributes:
        history, future: (T, h) step indices of the frames.
        actions: (T, S, A) executed actions in the model's action space; expert_actions: what an expert would have done.
        imitable: (n,) indices of the windows whose actions are all an expert's.
        past_actions: (T, S, A) the executed actions just before `actions`, or None.
        past_actions_missing: (T, S) bool, True before the start of the episode, or None.
        proprioception: (T, R, P) robot states, newest last, or None.
        text: (T, E) language latents, or None.
    """

    def __init__(self, data: Demonstrations, model: ModelConfig, observation: ObservationConfig) -> None:
        """Cut the windows of `data`: all that a network of configuration `model` is given.

        Raises:
            ValueError: the data has another rate than the observations, lacks what the model is given, or has no window
                that may be imitated.
        """
        if abs(data.rate_hz - observation.rate_hz) > 0.01 * observation.rate_hz:
            raise ValueError(f"the data has {data.rate_hz} steps a second, the observations {observation.rate_hz}")
        _require(data, model, observation)
        # The action of a step is to be reached one step later.
        ahead = observation.action_offsets(model.action_steps) - 1
        ahead_index = _steps(data, ahead)

        def chunks(vectors: NDArray[np.float64], index: NDArray[np.int64]) -> Tensor:
            return _float(actions.to_model(vectors[index], data.pose, observation.action_space))

        self.history = torch.from_numpy(_steps(data, np.array(observation.frame_offsets)))
        self.future = torch.from_numpy(_steps(data, observation.future_offsets))
        self.actions = chunks(data.actions, ahead_index)
        self.expert_actions = chunks(data.expert_actions, ahead_index)
        self.imitable = torch.from_numpy(np.flatnonzero(data.is_expert[ahead_index].all(axis=1)))
        self.past_actions: Tensor | None = None
        self.past_actions_missing: Tensor | None = None
        if model.past_actions:
            past = ahead - model.action_steps
            self.past_actions = chunks(data.actions, _steps(data, past))
            missing = np.arange(len(data))[:, None] + past < data.episode_start[:, None]
            self.past_actions_missing = torch.from_numpy(missing)
        self.proprioception = _states(data, model, observation) if model.proprioception_dim else None
        self.text = _float(data.text[data.episode]) if model.text_dim and data.text is not None else None
        if len(self.imitable) == 0:
            raise ValueError(f"no {model.action_steps} steps in a row are an expert's: nothing to imitate")

    def extend(self, other: Windows) -> None:
        """Append the windows of other demonstrations, cut for the same model; their steps are counted on from here."""
        first_step = len(self)
        for name, tensor in vars(other).items():
            if tensor is not None:
                counts_steps = name in ("history", "future", "imitable")
                setattr(self, name, torch.cat([getattr(self, name), tensor + first_step if counts_steps else tensor]))

    def __len__(self) -> int:
        """Return the number of windows, one per step."""
        return len(self.history)


def _require(data: Demonstrations, model: ModelConfig, observation: ObservationConfig) -> None:
    """Refuse a model that is given what the data does not have."""
    if observation.action_space == "vector":
        raise ValueError("action_space is 'vector', but the actions of the data are EEF poses")
    if (model.wrist_history or model.wrist_future) and data.wrist_images is None:
        raise ValueError("the model sees a wrist camera, and the data has no frames of one")
    if model.proprioception_target_dim:
        raise ValueError("the model predicts robot states (proprioception_target_dim), and windows hold no such target")
    if model.text_dim and (data.text is None or data.text.shape[1] != model.text_dim):
        found = "none" if data.text is None else f"latents of {data.text.shape[1]} numbers"
        raise ValueError(f"the model takes language latents of {model.text_dim} numbers, and the data has {found}")


def _states(data: Demonstrations, model: ModelConfig, observation: ObservationConfig) -> Tensor:
    """(T, R, P) robot states: EEF poses at the history frames, or the last R steps of states of another kind."""
    if observation.state_space == "vector":
        if data.state is None:
            raise ValueError("state_space is 'vector', and the data has no states but EEF poses")
        states = data.state[_steps(data, np.arange(1 - model.proprioception_steps, 1))]
    else:
        index = _steps(data, np.array(observation.frame_offsets))
        states = proprioception(
            data.pose[index],
            data.gripper_width[index],
            data.pose[data.episode_start],
            absolute=observation.state_space == "absolute_pose",
        )
    expected = (model.proprioception_steps, model.proprioception_dim)
    if states.shape[1:] != expected:
        raise ValueError(f"the model takes a robot state of shape {expected}, the data gives {states.shape[1:]}")
    return _float(states)


def _steps(data: Demonstrations, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Step indices (T, n) at n offsets from each step; beyond an episode its first or last step is repeated."""
    wanted = np.arange(len(data))[:, None] + offsets
    return np.clip(wanted, data.episode_start[:, None], data.episode_last[:, None])


def _float(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
