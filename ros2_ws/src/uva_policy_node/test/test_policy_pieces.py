# SPDX-License-Identifier: Apache-2.0
"""Worker, strip and message conversions, without a node."""

import threading

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState

from uva_core.policy.predictions import ActionPrediction
from uva_core.poses import encode
from uva_node_utils.time import duration_to_seconds, stamp_to_seconds
from uva_policy_node.messages import MessageError, action_chunk, gripper_width, pose_matrix
from uva_policy_node.prediction_strip import CELL_PX, GAP_PX, LABEL_PX, strip
from uva_policy_node.worker import Worker


def test_requests_during_a_run_lead_to_one_more_run():
    runs, entered, release = [], threading.Semaphore(0), threading.Semaphore(0)

    def job(_):
        runs.append(1)
        entered.release()
        release.acquire(timeout=5)

    worker = Worker(job, failed=pytest.fail)
    worker.ask()
    assert entered.acquire(timeout=5)
    for _ in range(5):
        worker.ask()
    release.release()
    assert entered.acquire(timeout=5)
    release.release()
    worker.stop()
    assert worker.join(5)
    assert len(runs) == 2


def test_stop_does_not_wait_for_a_job_whose_result_is_then_not_delivered():
    delivered, entered, release = [], threading.Event(), threading.Event()

    def job(worker):
        worker.deliver(lambda: delivered.append("before"))
        entered.set()
        release.wait(5)
        worker.deliver(lambda: delivered.append("after"))
        raise ValueError("nobody wants to know")

    worker = Worker(job, failed=delivered.append)
    worker.ask()
    assert entered.wait(5)
    worker.stop()
    assert not worker.join(0.0)
    release.set()
    assert worker.join(5)
    assert delivered == ["before"]


def test_a_failing_job_is_reported_and_the_worker_goes_on():
    errors, seen = [], threading.Semaphore(0)

    def job(_):
        raise ValueError("bad input")

    worker = Worker(job, failed=lambda error: (errors.append(str(error)), seen.release()))
    for _ in range(2):
        worker.ask()
        assert seen.acquire(timeout=5)
    worker.stop()
    assert worker.join(5)
    assert errors == ["bad input", "bad input"]


def test_a_strip_shows_every_frame_under_a_label():
    history = np.full((4, 8, 8, 3), 10, np.uint8)
    predicted = np.full((4, 8, 8, 3), 200, np.uint8)
    picture = strip(history, [-1.2, -0.8, -0.4, 0.0], predicted, [0.4, 0.8, 1.2, 1.6])
    assert picture.shape == (LABEL_PX + CELL_PX, 8 * (CELL_PX + GAP_PX), 3)
    assert (picture[LABEL_PX + 5, 5] == 10).all()
    assert (picture[LABEL_PX + 5, 7 * (CELL_PX + GAP_PX) + 5] == 200).all()
    assert (picture[:LABEL_PX] != 255).any()


def a_pose(frame="base_link", w=1.0, x=0.3):
    message = PoseStamped()
    message.header.frame_id = frame
    message.pose.position.x = x
    message.pose.orientation.w = w
    return message


def test_a_pose_becomes_a_matrix():
    assert pose_matrix(a_pose(), "base_link")[0, 3] == 0.3


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (a_pose(frame="world"), "in frame 'world', expected 'base_link'"),
        (a_pose(w=0.5), "quaternion"),
        (a_pose(x=float("nan")), "nan"),
    ],
)
def test_a_pose_that_cannot_be_used_is_refused(message, text):
    with pytest.raises(MessageError, match=text):
        pose_matrix(message, "base_link")


def test_the_gripper_is_found_by_name():
    assert gripper_width(JointState(name=["joint1", "gripper"], position=[1.0, 0.04])) == 0.04
    with pytest.raises(MessageError, match="no 'gripper', only joint1"):
        gripper_width(JointState(name=["joint1"], position=[1.0]))
    with pytest.raises(MessageError, match="1 names, but 0 positions"):
        gripper_width(JointState(name=["gripper"]))
    with pytest.raises(MessageError, match="nan"):
        gripper_width(JointState(name=["gripper"], position=[float("nan")]))


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
