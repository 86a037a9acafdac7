# SPDX-License-Identifier: Apache-2.0
"""The interface of the published UMI client: observations of one or two robots, and robot commands from actions.

Names as there: `robot0_eef_pos` is a position, `robot0_eef_rot_axis_angle` a 6-D rotation in spite of its name,
`..._wrt_start` since the start of the episode, `..._wrt1` relative to the other robot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from uva_core import poses
from uva_core.observation.observation import proprioception
from uva_core.official import frames
from uva_core.official.names import UMI_STATE
from uva_core.poses import POSE_DIM, Array


@dataclass(frozen=True)
class RobotHistory:
    """What one robot did lately, in its own base frame.

    Attributes:
        eef_pose: (T, 4, 4), newest last.
        gripper_width: (T,) m.
        start_pose: (4, 4) EEF pose at the start of the episode.
    """

    eef_pose: Array
    gripper_width: Array
    start_pose: Array


def observation(
    robots: Sequence[RobotHistory], *, absolute: bool = False, robot0_in_robot1: Array | None = None
) -> dict[str, Array]:
    """Return the parts of the robot state as the published client names them.

    Args:
        robots: one or two.
        absolute: poses in the base frame; False: relative to the newest one.
        robot0_in_robot1: (4, 4) pose of robot 0's base frame in robot 1's, for two robots.

    Returns:
        Of each robot position (T, 3), rotation (T, 6), gripper width (T, 1) and rotation since the start (T, 6); of two
        also position and rotation relative to the newest EEF pose of the other one.

    Raises:
        ValueError: neither one nor two robots, or two and not how their bases lie to each other.
    """
    if len(robots) not in (1, 2):
        raise ValueError(f"expected one or two robots, got {len(robots)}")
    parts = {}
    for i, robot in enumerate(robots):
        state = proprioception(robot.eef_pose, robot.gripper_width, robot.start_pose, absolute=False)
        if absolute:
            state[:, :POSE_DIM] = poses.encode(robot.eef_pose, robot.gripper_width)
        ends = np.cumsum(list(UMI_STATE.values()))[:-1]
        for name, values in zip(UMI_STATE, np.split(state, ends, axis=-1), strict=True):
            parts[name.replace("robot0", f"robot{i}")] = values
    if len(robots) == 2:
        if robot0_in_robot1 is None:
            raise ValueError("two robots: say how their base frames lie to each other")
        other_base = (poses.inverse(robot0_in_robot1), robot0_in_robot1)
        for i, (robot, other) in enumerate(((robots[0], robots[1]), (robots[1], robots[0]))):
            other_eef = other_base[i] @ other.eef_pose[-1]
            vector = poses.encode_pose(poses.relative_to(other_eef, robot.eef_pose))
            parts[f"robot{i}_eef_pos_wrt{1 - i}"] = vector[:, :3]
            parts[f"robot{i}_eef_rot_axis_angle_wrt{1 - i}"] = vector[:, 3:]
    return parts


def robot_command(action: Array, base_poses: Sequence[Array], representation: str = "relative") -> Array:
    """Actions of one or more robots as commands.

    Args:
        action: (T, 10 n): for each robot position 3, rotation 6, gripper width 1.
        base_poses: n EEF poses (4, 4), the newest of each robot when the actions were predicted.
        representation: how the actions are written against them, see `poses.express`.

    Returns:
        (T, 7 n): for each robot position 3 [m], rotation vector 3 [rad], gripper width 1 [m].

    Raises:
        ValueError: another number of robots, or an unknown representation.
    """
    if action.shape[-1] != POSE_DIM * len(base_poses):
        raise ValueError(f"{action.shape[-1]} numbers a step are not {POSE_DIM} for each of {len(base_poses)} robots")
    commands = []
    for values, base in zip(np.split(action, len(base_poses), axis=-1), base_poses, strict=True):
        pose, width = poses.decode(values)
        commands += [poses.to_vector(poses.restore(pose, base, representation)), width[:, None]]
    return np.concatenate(commands, axis=-1)


def state_at_frames(state: Mapping[str, Tensor], index: Tensor, *, training: bool) -> dict[str, Tensor]:
    """Robot state at the frames of the history, and in training what is to be predicted of it.

    Args:
        state: parts of the robot state, each (B, T, n); in training half of the steps is history and half is future.
        index: (B, k) steps of the frames; in training half of them lies in the history.
        training: False: everything is history.

    Returns:
        Each part (B, h, n) at the history's frames; in training also `<part>_pred` (B, T / 2, n), the future.
    """
    if not training:
        return {name: frames.gather_steps(values, index) for name, values in state.items()}
    parts = {}
    for name, values in state.items():
        history, future = values.chunk(2, dim=1)
        parts[name] = frames.gather_steps(history, index.chunk(2, dim=1)[0])
        parts[f"{name}_pred"] = future
    return parts
