# SPDX-License-Identifier: Apache-2.0
"""TODO."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uva_core import poses
from uva_core.data.readers.umi_zarr import ReplayBuffer
from uva_core.poses import POSE_DIM


@dataclass(frozen=True)
class ActionSequence:
    """Actions in time order.

    Attributes:
        vectors: (T, A) in task units. EEF targets are position 3 [m], rotation 6-D, gripper width 1 [m] in the base
            frame; other action spaces keep their own numbers.
    """

    vectors: NDArray[np.float64]

    @classmethod
    def from_poses(cls, pose: NDArray[np.float64], gripper_width: NDArray[np.float64]) -> ActionSequence:
        """Make a sequence of EEF targets: (T, 4, 4) in the base frame and (T,) m."""
        return cls(poses.encode(pose, gripper_width))

    @property
    def poses(self) -> NDArray[np.float64]:
        """(T, 4, 4) EEF targets in the base frame.

        Raises:
            ValueError: the actions are no EEF targets.
        """
        self._require_poses()
        return poses.decode(self.vectors)[0]

    @property
    def gripper_width(self) -> NDArray[np.float64]:
        """(T,) m.

        Raises:
            ValueError: the actions are no EEF targets.
        """
        self._require_poses()
        return self.vectors[:, -1]

    def _require_poses(self) -> None:
        if self.vectors.shape[-1] != POSE_DIM:
            raise ValueError(f"these {self.vectors.shape[-1]}-D actions are no EEF poses")


def relative_actions(
    buffer: ReplayBuffer, pose: NDArray[np.float64], width: NDArray[np.float64], index: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Action chunks (T, S, 10) of the steps `index` (T, S), relative to the EEF pose at each step.

    One base pose for a whole chunk (UMI's `relative`).
    """
    relative = poses.relative_to(buffer.pose[:, None], pose[index])
    return poses.encode(relative, width[index])
