# SPDX-License-Identifier: Apache-2.0
"""Training windows: history and future frames, actions and robot state around each step of a replay buffer."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uva_core import actions, poses
from uva_core.data.readers.umi_zarr import ReplayBuffer
from uva_core.network.config import ModelConfig
from uva_core.observation.config import ObservationConfig
from uva_core.observation.observation import proprioception


def frame_indices(buffer: ReplayBuffer, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Step indices (T, len(offsets)) around each step; beyond an episode its first or last step is repeated."""
    wanted = np.arange(len(buffer))[:, None] + offsets[None]
    return np.clip(wanted, buffer.episode_start[:, None], buffer.episode_last[:, None])


def action_chunks(
    buffer: ReplayBuffer,
    pose: NDArray[np.float64],
    width: NDArray[np.float64],
    index: NDArray[np.int64],
    space: str,
) -> NDArray[np.float64]:
    """Action chunks (T, S, 10) of the steps `index` (T, S), in the model's action space."""
    return actions.to_model(poses.encode(pose[index], width[index]), buffer.pose, space)


class Windows:
    """All windows of a replay buffer over precomputed latents, as tensors to index.

    Attributes:
        history, future: (T, h) step indices of the frames.
        actions: (T, S, 10) executed actions; expert_actions: the same as the expert would have acted.
        proprioception: (T, h, P) robot state at the history frames.
        imitable: indices of the windows all of whose actions are an expert's.
    """

    def __init__(self, buffer: ReplayBuffer, model: ModelConfig, observation: ObservationConfig) -> None:
        """Cut the windows of `buffer`.

        Raises:
            ValueError: the buffer has another rate than the observations, or no window that may be imitated.
        """
        if abs(buffer.rate_hz - observation.rate_hz) > 0.01 * observation.rate_hz:
            raise ValueError(f"the data has {buffer.rate_hz} steps a second, the observations {observation.rate_hz}")
        history = np.array(observation.frame_offsets)
        history_index = frame_indices(buffer, history)
        # The action of a step is what is to be reached one step later.
        ahead = frame_indices(buffer, observation.action_offsets(model.action_steps) - 1)
        self.history = torch.from_numpy(history_index)
        self.future = torch.from_numpy(frame_indices(buffer, observation.future_offsets))
        self.actions = self._float(
            action_chunks(buffer, buffer.action_pose, buffer.action_width, ahead, observation.action_space)
        )
        self.expert_actions = self._float(
            action_chunks(buffer, buffer.expert_pose, buffer.expert_width, ahead, observation.action_space)
        )
        self.proprioception = self._float(
            proprioception(
                buffer.pose[history_index],
                buffer.gripper_width[history_index],
                buffer.pose[buffer.episode_start],
                absolute=observation.state_space == "absolute_pose",
            )
        )
        self.imitable = torch.from_numpy(np.flatnonzero(buffer.is_expert[ahead].all(axis=1)))
        if len(self.imitable) == 0:
            raise ValueError(f"no {model.action_steps} steps in a row are an expert's: nothing to imitate")

    def extend(self, other: Windows) -> None:
        """Append the windows of another buffer; its steps are counted on from this one's last."""
        first_step = len(self)
        for name, tensor in vars(other).items():
            counts_steps = name in ("history", "future", "imitable")
            setattr(self, name, torch.cat([getattr(self, name), tensor + first_step if counts_steps else tensor]))

    @staticmethod
    def _float(values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values.astype(np.float32))

    def __len__(self) -> int:
        """Return the number of windows, one per step."""
        return len(self.history)
