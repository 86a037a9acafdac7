# SPDX-License-Identifier: Apache-2.0
"""Actions in task units, and the action space in which the model predicts them: one inverse pair, used everywhere.

    task units ── to_model ──> action space of the model ── normalizer ──> network
    task units <── from_model ── action space of the model <── normalizer ── network

`relative_pose`: EEF targets relative to the EEF pose at the newest observation, one base pose for the whole chunk,
because a chunk that is re-anchored step by step drifts (UMI's `relative`, Chi et al. 2024).
`absolute_pose`: EEF targets in the base frame. `vector`: any other numbers, as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uva_core import poses

Array = NDArray[np.float64]

ACTION_SPACES = ("relative_pose", "absolute_pose", "vector")


def to_model(vectors: Array, base_pose: Array, space: str) -> Array:
    """Write actions in the model's action space, not normalized. Inverse of `from_model`.

    Args:
        vectors: (..., T, A) in task units; poses are position 3 [m], rotation 6-D, gripper width 1 [m], base frame.
        base_pose: (..., 4, 4) EEF pose at the newest observation.
        space: one of `ACTION_SPACES`.

    Returns:
        (..., T, A).

    Raises:
        ValueError: unknown action space.
    """
    _check(space)
    if space != "relative_pose":
        return vectors
    pose, width = poses.decode(vectors)
    return poses.encode(poses.relative_to(base_pose[..., None, :, :], pose), width)


def from_model(vectors: Array, base_pose: Array, space: str) -> Array:
    """Bring actions from the model's action space back to task units; rotations become orthonormal.

    Args:
        vectors: (..., T, A) in the model's action space, not normalized.
        base_pose: (..., 4, 4) EEF pose at the newest observation.
        space: one of `ACTION_SPACES`.

    Returns:
        (..., T, A); poses in the base frame.

    Raises:
        ValueError: unknown action space.
    """
    _check(space)
    if space == "vector":
        return vectors
    pose, width = poses.decode(vectors)
    return poses.encode(base_pose[..., None, :, :] @ pose if space == "relative_pose" else pose, width)


def _check(space: str) -> None:
    if space not in ACTION_SPACES:
        raise ValueError(f"unknown action space '{space}'; choose one of: {', '.join(ACTION_SPACES)}")


@dataclass(frozen=True)
class ActionSequence:
    """Actions in time order.

    Attributes:
        vectors: (T, A) in task units. EEF targets are position 3 [m], rotation 6-D, gripper width 1 [m] in the base
            frame; other action spaces keep their own numbers.
    """

    vectors: Array

    @classmethod
    def from_poses(cls, pose: Array, gripper_width: Array) -> ActionSequence:
        """Make a sequence of EEF targets: (T, 4, 4) in the base frame and (T,) m."""
        return cls(poses.encode(pose, gripper_width))

    @property
    def poses(self) -> Array:
        """(T, 4, 4) EEF targets in the base frame.

        Raises:
            ValueError: the actions are no EEF targets.
        """
        self._require_poses()
        return poses.decode(self.vectors)[0]

    @property
    def gripper_width(self) -> Array:
        """(T,) m.

        Raises:
            ValueError: the actions are no EEF targets.
        """
        self._require_poses()
        return self.vectors[:, -1]

    def _require_poses(self) -> None:
        if self.vectors.shape[-1] != poses.POSE_DIM:
            raise ValueError(f"these {self.vectors.shape[-1]}-D actions are no EEF poses")
