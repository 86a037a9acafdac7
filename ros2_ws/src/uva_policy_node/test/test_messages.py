# SPDX-License-Identifier: Apache-2.0
"""Chunks of actions from and to messages, without a node."""

import numpy as np
import pytest
from geometry_msgs.msg import Point, Pose, Quaternion

from uva_core.policy.predictions import ActionPrediction
from uva_core.poses import encode
from uva_msgs.msg import ActionChunk
from uva_node_utils.conversions import MessageError
from uva_node_utils.time import duration_to_seconds, stamp_to_seconds
from uva_policy_node.messages import action_chunk, query_actions


def test_a_chunk_message_has_the_true_stamp_and_times():
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, 0, 3] = [0.1, 0.2, 0.3]
    vectors = encode(poses, np.array([0.02, 0.03, 0.04]))
    prediction = ActionPrediction(vectors, np.array([0.1, 0.2, 0.3]), {})
    chunk = action_chunk(prediction, stamp_s=1234.5, frame="base_link", mode="policy", sequence=7, inference_s=0.05)
    assert stamp_to_seconds(chunk.header.stamp) == 1234.5
    assert [round(duration_to_seconds(t), 6) for t in chunk.time_from_start] == [0.1, 0.2, 0.3]
    assert [p.position.x for p in chunk.poses] == [0.1, 0.2, 0.3]
    assert chunk.poses[0].orientation.w == 1.0
    assert list(chunk.gripper_width) == [0.02, 0.03, 0.04]
    assert (chunk.sequence, chunk.mask_mode) == (7, "policy")


def a_query(frame="base_link", steps=2, widths=2, x=0.3, w=1.0, width=0.04):
    pose = Pose(position=Point(x=x, y=0.1, z=0.2), orientation=Quaternion(x=0.0, y=0.0, z=0.0, w=w))
    query = ActionChunk(poses=[pose] * steps, gripper_width=[width] * widths)
    query.header.frame_id = frame
    return query


def test_a_query_becomes_actions():
    actions = query_actions(a_query(), "base_link", 2)
    assert actions.poses[:, :3, 3].tolist() == [[0.3, 0.1, 0.2]] * 2
    assert actions.gripper_width.tolist() == [0.04, 0.04]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (a_query(frame="world"), "in frame 'world', expected 'base_link'"),
        (a_query(steps=3), "3 poses and 2 gripper widths; this model takes 2 steps"),
        (a_query(widths=1), "2 poses and 1 gripper widths"),
        (a_query(x=float("inf")), "not finite"),
        (a_query(width=float("nan")), "not finite"),
        (a_query(w=0.0), "not unit ones"),
    ],
)
def test_a_query_that_cannot_be_used_is_refused(query, text):
    with pytest.raises(MessageError, match=text):
        query_actions(query, "base_link", 2)
