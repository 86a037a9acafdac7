# SPDX-License-Identifier: Apache-2.0
"""A replayed recording gives what a live buffer would have given, and what followed."""

import numpy as np
import pytest

from uva_core.observation.buffer import ObservationBuffer, ObservationNotReadyError
from uva_core.observation.config import ObservationConfig
from uva_core.observation.replay import Stream, replay

CONFIG = ObservationConfig(rate_hz=10.0, frame_offsets=(-2, 0), resize="area")
FRAMES_S, ACTIONS_S = np.array([0.2, 0.4]), np.array([0.1, 0.2, 0.3])


def grey(value):
    return np.full((8, 8, 3), value, np.uint8)


def pose_at(x):
    pose = np.eye(4)
    pose[0, 3] = x
    return pose, 0.01 * x


def moments(times_s, images_s=None, poses_s=None, **options):
    images_s = np.arange(0.0, 2.0, 0.1) if images_s is None else images_s
    poses_s = np.arange(0.0, 2.0, 0.05) + 0.02 if poses_s is None else poses_s
    return replay(
        ObservationBuffer(CONFIG, 8, pad_start=True),
        Stream(images_s, [grey(round(100 * t)) for t in images_s]),
        Stream(poses_s, [pose_at(t) for t in poses_s]),
        times_s,
        frame_times_s=FRAMES_S,
        action_times_s=ACTIONS_S,
        **{"tolerance_s": 0.05, **options},
    )


def test_an_observation_is_that_of_its_moment_and_frames_and_actions_follow():
    first, second = moments([0.5, 1.04])
    assert [first.observation.stamp_s, second.observation.stamp_s] == pytest.approx([0.5, 1.0])
    # The pose at an image is between the one before and the one after, which a live buffer waits for.
    assert second.observation.base_pose[0, 3] == pytest.approx(1.0)
    assert [int(frame[0, 0, 0]) for frame in second.frames.values] == [120, 140]
    np.testing.assert_allclose(second.action_sequence.poses[:, 0, 3], [1.1, 1.2, 1.3], atol=0.021)
    np.testing.assert_allclose(second.action_sequence.gripper_width, [0.011, 0.012, 0.013], atol=3e-4)


def test_a_replay_equals_a_live_buffer():
    buffer = ObservationBuffer(CONFIG, 8, pad_start=True)
    for t in np.arange(0.0, 0.55, 0.05):
        buffer.add_pose(t + 0.02, *pose_at(t + 0.02))
    for t in np.arange(0.0, 0.55, 0.1):
        buffer.add_image(t, grey(round(100 * t)))
    live, (moment,) = buffer.sample(), moments([0.5])
    np.testing.assert_array_equal(moment.observation.frames, live.frames)
    np.testing.assert_allclose(moment.observation.eef_pose, live.eef_pose, atol=1e-12)
    np.testing.assert_allclose(moment.observation.gripper_width, live.gripper_width, atol=1e-12)


def test_targets_are_taken_instead_of_measured_poses():
    stamps_s = np.arange(0.1, 2.1, 0.1)
    targets = Stream(stamps_s, [pose_at(10 + t) for t in stamps_s])
    (moment,) = moments([0.5], targets=targets)
    np.testing.assert_allclose(moment.action_sequence.poses[:, 0, 3], [10.6, 10.7, 10.8])


def test_what_the_recording_lacks_afterwards_is_left_out():
    (moment,) = moments([1.7])
    assert [len(moment.frames.values), len(moment.actions.values)] == [1, 3]
    (moment,) = moments([0.5], images_s=np.array([0.3, 0.4, 0.5, 0.92]))
    assert moment.frames.stamps_s.tolist() == [0.92]


def test_what_the_recording_lacks_before_is_an_error():
    with pytest.raises(ObservationNotReadyError, match="no image yet"):
        next(moments([0.5], images_s=np.array([0.6])))
    with pytest.raises(ObservationNotReadyError, match="no EEF pose yet"):
        next(moments([0.5], poses_s=np.zeros(0)))


def test_stamps_must_fit_the_values_and_ascend():
    with pytest.raises(ValueError, match="2 stamps do not fit 1 values"):
        Stream(np.zeros(2), [1])
    for wrong in ([1.0, 0.5], [0.0, np.nan]):
        with pytest.raises(ValueError, match="do not ascend"):
            Stream(np.array(wrong), [1, 2])
    assert list(Stream(np.zeros(0), []).nearest(np.zeros(1), 1.0).values) == []
    assert Stream(np.array([1.0, 3.0]), "ab").nearest(np.array([-5.0, 1.9, 2.1, 9.0]), 6.0).values == [
        "a",
        "a",
        "b",
        "b",
    ]
