# SPDX-License-Identifier: Apache-2.0
"""From bytes to chunks, and from the driver's objects to messages."""

from __future__ import annotations

import struct

import numpy as np
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Pose
from rclpy.serialization import serialize_message

from arx_x5_driver.arm import ArmCommand
from arx_x5_driver.messages import MAX_CHUNK_BYTES, LoopMessages, read_chunk
from arx_x5_driver.rules.chunk_gate import ChunkRejectedError
from uva_msgs.msg import ActionChunk


def cdr(steps: int) -> bytes:
    """Serialize a chunk by hand: the middleware's own function refuses too many steps."""
    data = struct.pack("<iIIIcxxx", 1, 2, 1, 1, b"\0") + struct.pack("<4xQ", 7)
    data += struct.pack("<I", steps) + bytes(8 * steps) + struct.pack("<I", steps)
    data += struct.pack("<7d", 0, 0, 0, 0, 0, 0, 1) * steps
    data += struct.pack("<I4x", steps) + bytes(8 * steps + 8)
    return b"\0\1\0\0" + data


def test_the_longest_chunk_is_read() -> None:
    steps = ActionChunk.MAX_STEPS
    longest = ActionChunk(
        mask_mode="m" * 64,
        time_from_start=[Duration()] * steps,
        poses=[Pose()] * steps,
        gripper_width=[0.0] * steps,
    )
    longest.header.frame_id = "f" * 255
    assert read_chunk(serialize_message(longest)) == longest


def test_more_steps_are_refused_also_where_the_middleware_lets_them_through() -> None:
    assert len(read_chunk(cdr(3)).poses) == 3
    data = cdr(ActionChunk.MAX_STEPS + 1)
    assert len(data) <= MAX_CHUNK_BYTES
    with pytest.raises(ChunkRejectedError, match="message: it has 257 steps, limit 256"):
        read_chunk(data)


@pytest.mark.parametrize("data", [b"", b"\0", cdr(16)[:-100], b"\0\1\0\0" + b"\xff" * 60])
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(ChunkRejectedError, match=f"message: its {len(data)} bytes are no ActionChunk"):
        read_chunk(data)


@pytest.mark.parametrize(("nanoseconds", "stamp"), [(-1, Time()), (2**80, Time(sec=2**31 - 1, nanosec=999_999_999))])
def test_a_stamp_stays_within_what_a_message_can_hold(nanoseconds: int, stamp: Time) -> None:
    command = ArmCommand(np.zeros(6), np.zeros(6), 0.0)
    assert LoopMessages("base_link", 0.02).joint_command(command, nanoseconds).header.stamp == stamp
