# SPDX-License-Identifier: Apache-2.0
"""Every message survives serialization with all its fields set, and has the fields the design names."""

import math

import pytest
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Point, Pose, Quaternion
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from uva_msgs.msg import ActionChunk, ActionChunkArray, DriverStatus, WorldState
from uva_msgs.srv import ResetWorld, SetInstruction, SetMaskMode

HEADER = Header(stamp=Time(sec=12, nanosec=34), frame_id="base_link")
POSE = Pose(position=Point(x=0.3, y=-0.1, z=0.05), orientation=Quaternion(x=0.5, y=0.5, z=-0.5, w=0.5))


def chunk(sequence: int) -> ActionChunk:
    return ActionChunk(
        header=HEADER,
        mask_mode="policy",
        sequence=sequence,
        time_from_start=[Duration(nanosec=100_000_000 * (step + 1)) for step in range(3)],
        poses=[POSE] * 3,
        gripper_width=[0.0, 0.04, 0.086],
        inference_time=Duration(nanosec=80_000_000),
    )


STATUS = DriverStatus(
    header=HEADER,
    state=DriverStatus.STATE_HOLDING,
    reason="no chunk for 0.3 s",
    chunk_sequence=2**64 - 1,
    chunk_age=0.25,
    chunks_accepted=5,
    chunks_rejected=1,
    last_rejection="stale: its observation is 1.20 s old, limit 1 s",
    steps_executed=80,
    steps_dropped=2,
    steps_superseded=7,
    limit_names=["joint velocity", "workspace"],
    limit_counts=[3, 0],
    loop_period_error_p99=0.0004,
    loop_work_p99=0.001,
    dry_run=True,
    loop_periods_missed=4,
    chunk_delay=0.12,
    action_latency=0.04,
    guard_divergence=0.02,
)


@pytest.mark.parametrize(
    "message",
    [
        chunk(7),
        ActionChunkArray(header=HEADER, chunks=[chunk(1), chunk(2)], scores=[0.5, -1.0]),
        STATUS,
        WorldState(header=HEADER, seed=20_000, blocks=[POSE] * 2, squares=[POSE] * 2, solved=True),
        SetMaskMode.Request(mask_mode="video"),
        SetMaskMode.Response(success=True, message="video"),
        SetInstruction.Request(instruction="push the blocks"),
        SetInstruction.Response(success=False, message="unknown"),
        ResetWorld.Request(seed=29_999),
        ResetWorld.Response(success=True, message="reset"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_round_trip(message):
    assert deserialize_message(serialize_message(message), type(message)) == message


def test_every_field_of_the_samples_differs_from_its_default():
    for message in (chunk(7), STATUS):
        for name in message.get_fields_and_field_types():
            assert getattr(message, name) != getattr(type(message)(), name), name


def test_no_chunk_yet_is_nan():
    received = deserialize_message(serialize_message(DriverStatus(chunk_age=math.nan)), DriverStatus)
    assert math.isnan(received.chunk_age)


def test_driver_states():
    states = {name: getattr(DriverStatus, name) for name in dir(DriverStatus) if name.startswith("STATE_")}
    assert states == {f"STATE_{state.upper()}": state for state in states.values()}
    assert set(states.values()) == {"unconfigured", "inactive", "active", "holding", "stopped", "fault"}


def test_the_bounds_of_a_chunk_are_its_constant():
    types = ActionChunk.get_fields_and_field_types()
    bounds = [types[name].partition(", ")[2] for name in ("time_from_start", "poses", "gripper_width")]
    assert bounds == [f"{ActionChunk.MAX_STEPS}>"] * 3
