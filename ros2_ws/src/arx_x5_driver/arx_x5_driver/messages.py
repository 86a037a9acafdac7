# SPDX-License-Identifier: Apache-2.0
"""Conversions between ROS messages and the driver's own objects.

The control loop's messages are made once and filled again for each publication. Their sequences are filled with an
`array`, because rclpy checks every element of a list.
"""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from arx_x5_driver.arm import JOINT_COUNT, ArmCommand, ArmState
from arx_x5_driver.chunk import Chunk
from arx_x5_driver.control.rate import RateStatistics
from arx_x5_driver.control.state import Snapshot
from arx_x5_driver.geometry.se3 import Pose
from arx_x5_driver.rules.chunk_gate import ChunkRejectedError
from arx_x5_driver.rules.rules import MESSAGE
from uva_msgs.msg import ActionChunk, DriverStatus
from uva_node_utils.conversions import pose_arrays, printable
from uva_node_utils.time import duration_to_seconds, seconds_to_duration, stamp_to_seconds

JOINT_NAMES = [*(f"joint{i + 1}" for i in range(JOINT_COUNT)), "gripper"]

MAX_CHUNK_BYTES = 128 * ActionChunk.MAX_STEPS
"""A step takes 72 bytes; the rest is for names. A message that is longer is not even read."""

_NS_PER_S = 1_000_000_000
_LAST_NS = 2**31 * _NS_PER_S - 1  # what a stamp can hold


def read_chunk(data: bytes) -> ActionChunk:
    """Return the message that was received as these bytes.

    Raises:
        ChunkRejectedError: They are too many, or are no message. The middleware itself enforces no bound.
    """
    if len(data) > MAX_CHUNK_BYTES:
        raise ChunkRejectedError(MESSAGE, f"it has {len(data)} bytes, limit {MAX_CHUNK_BYTES}")
    try:
        message = deserialize_message(data, ActionChunk)
    except RuntimeError as error:
        raise ChunkRejectedError(MESSAGE, f"its {len(data)} bytes are no ActionChunk") from error
    steps = max(len(message.time_from_start), len(message.poses), len(message.gripper_width))
    if steps > ActionChunk.MAX_STEPS:
        raise ChunkRejectedError(MESSAGE, f"it has {steps} steps, limit {ActionChunk.MAX_STEPS}")
    return message


def chunk_from_message(message: ActionChunk, now_s: float, ros_now_s: float) -> Chunk:
    """Return a chunk as it was received, with its times mapped from the ROS clock to the driver's.

    Args:
        message: the message.
        now_s: the time of its receipt on the driver's clock [s].
        ros_now_s: the same time on the ROS clock [s].
    """
    stamp_s = now_s + (stamp_to_seconds(message.header.stamp) - ros_now_s)
    positions, quaternions = pose_arrays(message.poses)
    return Chunk(
        sequence=message.sequence,
        frame=printable(message.header.frame_id),
        stamp_s=stamp_s,
        times_s=np.array([stamp_s + duration_to_seconds(duration) for duration in message.time_from_start]),
        positions=positions,
        quaternions=quaternions,
        widths=np.array(message.gripper_width),
    )


def status_message(snapshot: Snapshot, statistics: RateStatistics, dry_run: bool) -> DriverStatus:
    """Return the status without its stamp."""
    return DriverStatus(
        reason=snapshot.reason,
        limit_names=list(snapshot.rule_counts),
        limit_counts=list(snapshot.rule_counts.values()),
        **_numbers(snapshot, statistics, dry_run),
    )


def diagnostics(snapshot: Snapshot, statistics: RateStatistics, dry_run: bool) -> dict[str, Any]:
    """Return the same by key and value, and what only diagnostics have. The reason is their message."""
    return {
        **_numbers(snapshot, statistics, dry_run),
        "loop_work_p50": statistics.work_p50_s,
        "loop_realtime": statistics.realtime,
        **{f"limit_{name}": count for name, count in snapshot.rule_counts.items()},
    }


def _numbers(snapshot: Snapshot, statistics: RateStatistics, dry_run: bool) -> dict[str, Any]:
    """Return what status and diagnostics have in common, by the name in both."""
    return {
        "state": snapshot.state.value,
        "chunk_sequence": snapshot.chunk_sequence,
        "chunk_age": snapshot.chunk_age_s,
        "chunks_accepted": snapshot.chunks_accepted,
        "chunks_rejected": snapshot.chunks_rejected,
        "last_rejection": snapshot.last_rejection,
        "steps_executed": snapshot.steps_executed,
        "steps_dropped": snapshot.steps_dropped,
        "steps_superseded": snapshot.steps_superseded,
        "loop_period_error_p99": statistics.period_error_p99_s,
        "loop_work_p99": statistics.work_p99_s,
        "loop_periods_missed": statistics.missed,
        "chunk_delay": snapshot.chunk_delay_s,
        "action_latency": snapshot.action_latency_s,
        "guard_divergence": snapshot.divergence,
        "dry_run": dry_run,
    }


class LoopMessages:
    """The messages of each control period. Each call changes the message that it returned before."""

    def __init__(self, frame: str, command_lead_s: float) -> None:
        """Fill in what does not change: the frame of poses, and how long after its stamp a command is due [s]."""
        self._joint_states = JointState(name=JOINT_NAMES)
        self._eef_pose = PoseStamped()
        self._eef_pose.header.frame_id = frame
        self._point = JointTrajectoryPoint(time_from_start=seconds_to_duration(command_lead_s))
        self._command = JointTrajectory(joint_names=JOINT_NAMES, points=[self._point])

    def joint_states(self, measured: ArmState, stamp_ns: int) -> JointState:
        """Fill in joints and gripper as measured."""
        self._joint_states.position = _joined(measured.position, measured.gripper_width)
        self._joint_states.velocity = _joined(measured.velocity, measured.gripper_velocity)
        self._joint_states.effort = _joined(measured.effort, measured.gripper_effort)
        _set_stamp(self._joint_states.header.stamp, stamp_ns)
        return self._joint_states

    def eef_pose(self, pose: Pose, stamp_ns: int) -> PoseStamped:
        """Fill in the end effector's measured pose."""
        position, orientation = self._eef_pose.pose.position, self._eef_pose.pose.orientation
        position.x, position.y, position.z = pose.position.tolist()
        orientation.x, orientation.y, orientation.z, orientation.w = pose.quaternion.tolist()
        _set_stamp(self._eef_pose.header.stamp, stamp_ns)
        return self._eef_pose

    def joint_command(self, command: ArmCommand, stamp_ns: int) -> JointTrajectory:
        """Fill in what was sent, as a trajectory of one point."""
        self._point.positions = _joined(command.position, command.gripper_width)
        self._point.velocities = _joined(command.velocity, command.gripper_velocity)
        self._point.accelerations = _joined(command.acceleration, command.gripper_acceleration)
        _set_stamp(self._command.header.stamp, stamp_ns)
        return self._command


def _joined(joints: np.ndarray, gripper: float) -> array[float]:
    return array("d", (*joints.tolist(), gripper))


def _set_stamp(stamp: Time, nanoseconds: int) -> None:
    # A simulation's clock may be at 0, or anywhere.
    stamp.sec, stamp.nanosec = divmod(min(max(nanoseconds, 0), _LAST_NS), _NS_PER_S)
