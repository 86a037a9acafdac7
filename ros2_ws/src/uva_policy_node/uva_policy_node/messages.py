# SPDX-License-Identifier: Apache-2.0
"""Chunks of actions from and to messages. No node in here."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion

from uva_core import poses
from uva_core.actions import ActionSequence
from uva_core.policy.predictions import ActionPrediction
from uva_msgs.msg import ActionChunk
from uva_node_utils.conversions import MessageError, are_poses, check_frame, pose_arrays
from uva_node_utils.time import seconds_to_duration, seconds_to_stamp


def query_actions(message: ActionChunk, frame: str, steps: int) -> ActionSequence:
    """Return the targets of a chunk; its stamp and times are ignored.

    Raises:
        MessageError: another frame, another number of steps, NaN, or a quaternion that is not a unit one.
    """
    check_frame(message.header.frame_id, frame, "the chunk")
    if not len(message.poses) == len(message.gripper_width) == steps:
        raise MessageError(
            f"the chunk has {len(message.poses)} poses and {len(message.gripper_width)} gripper widths; "
            f"this model takes {steps} steps"
        )
    positions, quaternions = pose_arrays(message.poses)
    widths = np.asarray(message.gripper_width, dtype=np.float64)
    if not (are_poses(positions, quaternions) and np.isfinite(widths).all()):
        raise MessageError("the chunk has numbers that are not finite, or quaternions that are not unit ones")
    return ActionSequence.from_poses(poses.matrix_from_quaternion(positions, quaternions), widths)


def action_chunk(
    prediction: ActionPrediction, *, stamp_s: float, frame: str, mode: str, sequence: int, inference_s: float
) -> ActionChunk:
    """Return the message of a predicted chunk, stamped with the time of the newest observation."""
    targets = prediction.poses
    chunk = ActionChunk(mask_mode=mode, sequence=sequence, inference_time=seconds_to_duration(inference_s))
    chunk.header.stamp = seconds_to_stamp(stamp_s)
    chunk.header.frame_id = frame
    chunk.time_from_start = [seconds_to_duration(float(t)) for t in prediction.time_from_observation_s]
    chunk.poses = [
        Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))
        for (x, y, z), (qx, qy, qz, qw) in zip(
            targets[:, :3, 3].tolist(), poses.quaternion_from_matrix(targets).tolist(), strict=True
        )
    ]
    chunk.gripper_width = prediction.gripper_width.tolist()
    return chunk
