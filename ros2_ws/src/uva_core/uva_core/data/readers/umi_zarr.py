# SPDX-License-Identifier: Apache-2.0
"""Read a replay buffer in the UMI layout: a zarr group with `data/<key>` (steps first) and `meta/episode_ends`.

Keys read: `camera0_rgb` (T, H, W, 3) uint8, `robot0_eef_pos` (T, 3) m, `robot0_eef_rot_axis_angle` (T, 3) rad,
`robot0_gripper_width` (T, 1) m; and the attribute `rate_hz` (UMI's 59.94 where there is none).
Optional: `action` (T, 7) the executed EEF target (position, rotation vector, width), `expert_action` (T, 7) what a
flawless expert would have commanded in that state, `is_expert` (T,) whether the step may be imitated. Without them
(data from a hand-held gripper) the pose reached at the next step is the action, and every step may be imitated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from uva_core import poses

UMI_RATE_HZ = 59.94
REQUIRED = ("camera0_rgb", "robot0_eef_pos", "robot0_eef_rot_axis_angle", "robot0_gripper_width")


class ReplayBuffer:
    """Poses and actions in memory, images on disk."""

    def __init__(self, path: str | Path) -> None:
        """Open `path`, a `.zarr` folder or a `.zarr.zip`.

        Raises:
            FileNotFoundError: no such file or folder.
            ValueError: a required key is missing, or lengths differ.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(
                f"no replay buffer at {path}; make one with: python -m arx_x5_sim.collection.collect --out {path}"
            )
        store = zarr.storage.ZipStore(path, mode="r") if path.suffix == ".zip" else str(path)
        root = zarr.open_group(store, mode="r")
        missing = [key for key in REQUIRED if f"data/{key}" not in root]
        if missing or "meta/episode_ends" not in root:
            raise ValueError(f"{path} is no UMI replay buffer: {', '.join(missing) or 'meta/episode_ends'} missing")

        def read(key: str) -> NDArray[np.float64]:
            return np.asarray(root[f"data/{key}"], dtype=np.float64)

        self.images: Any = root["data/camera0_rgb"]  # zarr array, read in slices
        self.rate_hz = float(str(root.attrs.get("rate_hz", UMI_RATE_HZ)))
        self.episode_ends: NDArray[np.int64] = np.asarray(root["meta/episode_ends"], dtype=np.int64)
        self.pose = poses.matrix_from_rotation_vector(read("robot0_eef_pos"), read("robot0_eef_rot_axis_angle"))
        self.gripper_width = read("robot0_gripper_width").reshape(-1)
        steps = len(self.pose)
        if self.episode_ends[-1] != steps or self.images.shape[0] != steps:
            raise ValueError(
                f"{path}: {self.images.shape[0]} images, {steps} poses, episodes end at {self.episode_ends[-1]}"
            )

        starts = np.concatenate([[0], self.episode_ends[:-1]])
        lengths = self.episode_ends - starts
        self.episode_start = np.repeat(starts, lengths)  # (T,) first step of the episode of each step
        self.episode_last = np.repeat(self.episode_ends - 1, lengths)  # (T,) last step of it

        if "data/action" in root:
            self.action_pose, self.action_width = self._action(read("action"))
        else:
            following = np.minimum(np.arange(steps) + 1, self.episode_last)
            self.action_pose, self.action_width = self.pose[following], self.gripper_width[following]
        if "data/expert_action" in root:
            self.expert_pose, self.expert_width = self._action(read("expert_action"))
            self.is_expert = np.asarray(root["data/is_expert"], dtype=bool)
        else:
            self.expert_pose, self.expert_width = self.action_pose, self.action_width
            self.is_expert = np.ones(steps, dtype=bool)

    @staticmethod
    def _action(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return poses.matrix_from_rotation_vector(values[:, :3], values[:, 3:6]), values[:, 6]

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.pose)
