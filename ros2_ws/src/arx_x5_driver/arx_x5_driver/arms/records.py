# SPDX-License-Identifier: Apache-2.0
"""The records that pass between the driver and the process of an isolated arm, each a packet of fixed size.

The first byte is the kind of record. All stamps are on `time.monotonic()`'s clock, which processes share.
"""

from __future__ import annotations

import struct

import numpy as np

from arx_x5_driver.arm import JOINT_COUNT, ArmCommand, ArmState

POLL = b"?"
"""To the arm: measure and answer with a state."""
CLOSE = b"X"
"""To the arm: release it and end."""
COMMAND = b"C"
STATE = b"S"
ERROR = b"E"
"""From the arm: the rest is what an `ArmError` said, in UTF-8; the only record without a fixed size."""

LONGEST = 65536

_COMMAND = struct.Struct(f"=c{1 + 2 * JOINT_COUNT + 2}d")
_STATE = struct.Struct(f"=c{1 + 3 * JOINT_COUNT + 3}d")


def pack_command(command: ArmCommand, now_s: float) -> bytes:
    """Pack a command and the time of its sending [s]."""
    numbers = (now_s, *command.position.tolist(), *command.velocity.tolist())
    return _COMMAND.pack(COMMAND, *numbers, command.gripper_width, command.gripper_velocity)


def unpack_command(record: bytes) -> tuple[ArmCommand, float]:
    """Return the command and time that were packed."""
    _, given_s, *numbers, width, width_velocity = _COMMAND.unpack(record)
    position, velocity = np.array(numbers).reshape(2, JOINT_COUNT)
    return ArmCommand(position, velocity, width, width_velocity), given_s


def pack_state(state: ArmState) -> bytes:
    """Pack a measurement."""
    joints = (*state.position.tolist(), *state.velocity.tolist(), *state.effort.tolist())
    gripper = (state.gripper_width, state.gripper_velocity, state.gripper_effort)
    return _STATE.pack(STATE, state.stamp_s, *joints, *gripper)


def unpack_state(record: bytes) -> ArmState:
    """Return the measurement that was packed."""
    _, stamp_s, *numbers, width, velocity, effort = _STATE.unpack(record)
    joints = np.array(numbers).reshape(3, JOINT_COUNT)
    return ArmState(stamp_s, joints[0], joints[1], joints[2], width, velocity, effort)
