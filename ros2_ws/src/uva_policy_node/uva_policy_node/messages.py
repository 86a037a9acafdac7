# SPDX-License-Identifier: Apache-2.0
"""ROS messages to plain numbers and back. No node in here."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from numpy.typing import NDArray
from sensor_msgs.msg import JointState

from uva_core import poses
from uva_core.actions import ActionSequence
from uva_core.policy.predictions import ActionPrediction
from uva_msgs.msg import ActionChunk
from uva_node_utils.time import seconds_to_duration, seconds_to_stamp

GRIPPER_JOINT = "gripper"


class MessageError(ValueError):
    """A message that cannot be used; the text says which field and why."""


def pose_matrix(message: PoseStamped, frame: str) -> NDArray[np.float64]:
    """Return the pose as a matrix (4, 4).

    Raises:
        MessageError: another frame, NaN, or a quaternion that is not a unit one.
    """
    if message.header.frame_id != frame:
        raise MessageError(f"EEF pose is in frame '{message.header.frame_id}', expected '{frame}'")
    p, q = message.pose.position, message.pose.orientation
    position, quaternion = np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])
    if not (np.isfinite(position).all() and abs(np.linalg.norm(quaternion) - 1) < 1e-3):
        raise MessageError(f"EEF pose has position {position}, quaternion {quaternion}")
    return poses.matrix_from_quaternion(position, quaternion)


def gripper_width(message: JointState) -> float:
    """Return the gripper's opening [m].

    Raises:
        MessageError: no joint of that name, no position for it, or not finite.
    """
    names = list(message.name)
    if GRIPPER_JOINT not in names:
        raise MessageError(f"joint states have no '{GRIPPER_JOINT}', only {', '.join(names)}")
    if len(message.position) != len(names):
        raise MessageError(f"joint states have {len(names)} names, but {len(message.position)} positions")
    width = float(message.position[names.index(GRIPPER_JOINT)])
    if not np.isfinite(width):
        raise MessageError(f"gripper width is {width}")
    return width


def action_sequence(message: ActionChunk, frame: str, steps: int) -> ActionSequence:
    """Return the targets of a chunk; its stamp and times are not looked at.

    Raises:
        MessageError: another frame, another number of steps, NaN, or a quaternion that is not a unit one.
    """
    if message.header.frame_id != frame:
        raise MessageError(f"the chunk is in frame '{message.header.frame_id}', expected '{frame}'")
    if not len(message.poses) == len(message.gripper_width) == steps:
        raise MessageError(
            f"the chunk has {len(message.poses)} poses and {len(message.gripper_width)} gripper widths; "
            f"this model takes {steps} steps"
        )
    p = np.array([[q.position.x, q.position.y, q.position.z] for q in message.poses])
    rotation = [q.orientation for q in message.poses]
    quaternions = np.array([[q.x, q.y, q.z, q.w] for q in rotation])
    width = np.asarray(message.gripper_width, dtype=np.float64)
    unit = np.abs(np.linalg.norm(quaternions, axis=1) - 1) < 1e-3
    if not (np.isfinite(p).all() and np.isfinite(width).all() and unit.all()):
        raise MessageError("the chunk has numbers that are not finite, or quaternions that are not unit ones")
    return ActionSequence.from_poses(poses.matrix_from_quaternion(p, quaternions), width)


def action_chunk(
    prediction: ActionPrediction, *, stamp_s: float, frame: str, mode: str, sequence: int, inference_s: float
) -> ActionChunk:
    """Return the message of a predicted chunk, stamped with the time of the newest observation."""
    targets = prediction.poses
    quaternions = poses.quaternion_from_matrix(targets)
    chunk = ActionChunk(mask_mode=mode, sequence=sequence, inference_time=seconds_to_duration(inference_s))
    chunk.header.stamp = seconds_to_stamp(stamp_s)
    chunk.header.frame_id = frame
    chunk.time_from_start = [seconds_to_duration(float(t)) for t in prediction.time_from_observation_s]
    chunk.poses = [
        Pose(
            position=Point(x=float(p[0]), y=float(p[1]), z=float(p[2])),
            orientation=Quaternion(x=float(q[0]), y=float(q[1]), z=float(q[2]), w=float(q[3])),
        )
        for p, q in zip(targets[:, :3, 3], quaternions, strict=True)
    ]
    chunk.gripper_width = [float(width) for width in prediction.gripper_width]
    return chunk
