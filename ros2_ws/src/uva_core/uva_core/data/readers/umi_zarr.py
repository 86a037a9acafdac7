# SPDX-License-Identifier: Apache-2.0
"""Read demonstrations in the UMI layout: a zarr group with `data/<key>` (steps first) and `meta/episode_ends`.

Keys read: `camera0_rgb` (T, H, W, 3) uint8, `robot0_eef_pos` (T, 3) m, `robot0_eef_rot_axis_angle` (T, 3) rad,
`robot0_gripper_width` (T, 1) m; and the attribute `rate_hz` (UMI's 59.94 where there is none).
Optional:
    `action` (T, 7): the executed EEF target (position, rotation vector, width). Without it (data from a hand-held
        gripper) the pose at the next step is the action.
    `expert_action` (T, 7), `is_expert` (T,): what a flawless expert would have commanded in that state, and whether
        the step may be imitated. Without them the executed action may be imitated everywhere.
    `camera1_rgb` (T, H', W', 3) uint8: a wrist camera.
    `state` (T, P): robot state in task units, for models whose state is no EEF pose.
    `meta/episode_text` (E, D): language latent of each episode's instruction.
"""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import zarr
from numpy.typing import NDArray

from uva_core import poses
from uva_core.data.demonstrations import Demonstrations

UMI_RATE_HZ = 59.94
REQUIRED = (
    "data/camera0_rgb",
    "data/robot0_eef_pos",
    "data/robot0_eef_rot_axis_angle",
    "data/robot0_gripper_width",
    "meta/episode_ends",
)


def read(path: str | Path) -> Demonstrations:
    """Read `path`, a `.zarr` folder or a `.zarr.zip`. Images stay on disk.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: no zarr group, a required key is missing, or the arrays do not fit together.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"no demonstrations at {path}; make some with: python -m arx_x5_sim.collection.collect --out {path}"
        )
    try:
        store = zarr.storage.ZipStore(path, mode="r") if path.suffix == ".zip" else str(path)
        root = zarr.open_group(store, mode="r")
    except (BadZipFile, OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is no zarr group: {error}") from None
    missing = [key for key in REQUIRED if key not in root]
    if missing:
        raise ValueError(f"{path} is not in the UMI layout: {', '.join(missing)} missing")
    try:
        return _demonstrations(root)
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:  # of zarr, too
        raise ValueError(f"{path}: {error}") from None


def _demonstrations(root: zarr.Group) -> Demonstrations:
    def values(key: str) -> NDArray[np.float64]:
        return np.asarray(root[key], dtype=np.float64)

    def targets(key: str) -> NDArray[np.float64]:
        """(T, 7) position, rotation vector, width -> (T, 10)."""
        vectors = values(key)
        return poses.encode(poses.from_vector(vectors[:, :6]), vectors[:, 6])

    ends = np.asarray(root["meta/episode_ends"], dtype=np.int64)
    pose = poses.matrix_from_rotation_vector(values("data/robot0_eef_pos"), values("data/robot0_eef_rot_axis_angle"))
    width = values("data/robot0_gripper_width").reshape(-1)
    if "data/action" in root:
        actions = targets("data/action")
    else:
        steps = np.arange(len(pose))
        ending = np.isin(steps, [*(ends - 1), len(pose) - 1])  # the last pose of an episode is its own target
        following = np.where(ending, steps, steps + 1)
        actions = poses.encode(pose[following], width[following])
    expert = "data/expert_action" in root
    return Demonstrations(
        rate_hz=float(str(root.attrs.get("rate_hz", UMI_RATE_HZ))),
        episode_ends=ends,
        images=root["data/camera0_rgb"],
        pose=pose,
        gripper_width=width,
        actions=actions,
        expert_actions=targets("data/expert_action") if expert else actions,
        is_expert=np.asarray(root["data/is_expert"], dtype=bool) if expert else np.ones(len(pose), dtype=bool),
        wrist_images=root.get("data/camera1_rgb"),
        state=values("data/state") if "data/state" in root else None,
        text=values("meta/episode_text") if "meta/episode_text" in root else None,
    )
