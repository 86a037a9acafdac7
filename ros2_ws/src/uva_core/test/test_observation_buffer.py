# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uva_core import images, poses
from uva_core.observation.buffer import POSE_HOLD_S, STEP_BACK_S, ObservationBuffer, ObservationNotReadyError
from uva_core.observation.config import ObservationConfig
from uva_core.observation.observation import proprioception

CONFIG = ObservationConfig(rate_hz=10.0, frame_offsets=(-12, -8, -4, 0), resize="area", max_frame_gap_s=0.06)


def at(x):
    matrix = np.eye(4)
    matrix[0, 3] = x
    return matrix


def filled(seconds=2.0, rate_hz=20.0, **options):
    """A buffer in which pixels and the pose's x tell the time."""
    buffer = ObservationBuffer(CONFIG, 8, **options)
    for i in range(round(seconds * rate_hz) + 1):
        t = i / rate_hz
        buffer.add_pose(100 + t, at(t), 0.01 * t)
        buffer.add_image(100 + t, np.full((16, 16, 3), int(10 * t) % 256, np.uint8))
    return buffer


def test_frames_and_poses_are_taken_at_the_models_times():
    observation = filled().sample()
    assert observation.stamp_s == pytest.approx(102.0)
    np.testing.assert_allclose(observation.eef_pose[:, 0, 3], [0.8, 1.2, 1.6, 2.0], atol=1e-9)
    np.testing.assert_allclose(observation.gripper_width, [0.008, 0.012, 0.016, 0.02], atol=1e-9)
    assert images.to_uint8(observation.frames)[:, 0, 0, 0].tolist() == [8, 12, 16, 20]
    assert observation.frames.shape == (4, 3, 8, 8)


def test_poses_are_interpolated_at_the_images_stamps():
    buffer = ObservationBuffer(CONFIG, 8, pad_start=True)
    for t in (0.0, 0.05, 0.1):
        buffer.add_pose(t, at(t), 0.0)
    buffer.add_image(0.08, np.zeros((8, 8, 3), np.uint8))
    assert buffer.sample().eef_pose[-1, 0, 3] == pytest.approx(0.08)


def test_too_short_a_history_is_refused_unless_padded():
    with pytest.raises(ObservationNotReadyError, match="no image within 60 ms of 1.20 s ago"):
        filled(seconds=0.5).sample()
    padded = filled(seconds=0.5, pad_start=True).sample()
    np.testing.assert_allclose(padded.eef_pose[:, 0, 3], [0.0, 0.0, 0.1, 0.5], atol=1e-9)


def test_a_gap_in_the_images_is_refused():
    buffer = filled(seconds=1.5)
    buffer.add_pose(102.0, at(2.0), 0.0)
    buffer.add_image(102.0, np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(ObservationNotReadyError, match="of 0.40 s ago"):
        buffer.sample()


def test_an_image_without_a_pose_near_it_is_refused():
    buffer = filled()
    buffer.add_image(102.1, np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(ObservationNotReadyError, match="no EEF pose for an image: the newest is 100 ms older"):
        buffer.sample()


def test_the_newest_pose_is_held_for_a_moment_only():
    buffer = filled()
    buffer.add_image(102.0 + POSE_HOLD_S, np.zeros((16, 16, 3), np.uint8))
    assert buffer.sample().eef_pose[-1, 0, 3] == pytest.approx(2.0)
    buffer.add_image(102.0 + POSE_HOLD_S + 0.01, np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(ObservationNotReadyError):
        buffer.sample()


def test_only_the_start_of_an_episode_is_padded_not_the_end_of_an_outage():
    buffer = filled(pad_start=True)
    buffer.add_pose(109.0, at(9.0), 0.0)
    buffer.add_image(109.0, np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(ObservationNotReadyError, match="of 1.20 s ago"):
        buffer.sample()
    buffer.clear()
    buffer.add_image(109.0, np.zeros((16, 16, 3), np.uint8))
    buffer.add_pose(109.0, at(9.0), 0.0)
    assert buffer.sample().eef_pose[0, 0, 3] == 9.0


@pytest.mark.parametrize("step_s", [-5.0, -0.8, 1e6])
def test_a_step_of_the_clock_starts_the_history_anew(step_s):
    buffer = filled()
    if step_s > 0:  # one stamp from the future, and then as before
        buffer.add_pose(102.0 + step_s, at(0), 0.0)
        buffer.add_image(102.0 + step_s, np.zeros((16, 16, 3), np.uint8))
        step_s = 0.05
    for i in range(30):
        t = 102.0 + step_s + i / 20
        assert buffer.add_pose(t, at(t), 0.0)
        assert buffer.add_image(t, np.zeros((16, 16, 3), np.uint8))
    observation = buffer.sample()
    assert observation.stamp_s == pytest.approx(t)
    assert observation.start_pose[0, 3] == pytest.approx(102.0 + step_s)


STAMPS_S = st.one_of(
    st.floats(0.0, 10.0), st.floats(allow_nan=True, allow_infinity=True), st.integers(0, 60).map((0.1).__mul__)
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["image", "pose", "both"]), STAMPS_S), max_size=40), st.booleans())
def test_whatever_the_stamps_a_frame_is_near_the_wanted_time_or_padded(messages, pad_start):
    buffer = ObservationBuffer(CONFIG, 1, pad_start=pad_start)
    first_s = newest_s = math.nan  # of the images since the last step back
    for kind, stamp_s in messages:
        if kind != "image":
            accepted = buffer.add_pose(stamp_s, at(0.0), 0.0)
            if accepted and math.isnan(buffer.newest_s):
                first_s = newest_s = math.nan
        if kind != "pose":
            accepted = buffer.add_image(stamp_s, np.zeros((1, 1, 3), np.uint8))
            if accepted:
                if not newest_s - stamp_s <= STEP_BACK_S:
                    first_s = stamp_s
                newest_s = stamp_s
        try:
            observation = buffer.sample()
        except ObservationNotReadyError:
            continue
        assert observation.stamp_s == newest_s
        for offset, chosen_s in zip(CONFIG.frame_offsets, observation.frame_stamps_s, strict=True):
            wanted_s = newest_s + offset / CONFIG.rate_hz
            near = abs(chosen_s - wanted_s) <= CONFIG.max_frame_gap_s
            assert near or (pad_start and chosen_s == first_s and wanted_s < first_s)


def test_an_empty_buffer_says_what_is_missing():
    buffer = ObservationBuffer(CONFIG, 8)
    with pytest.raises(ObservationNotReadyError, match="no image yet"):
        buffer.sample()
    buffer.add_image(0.0, np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ObservationNotReadyError, match="no EEF pose yet"):
        buffer.sample()


def test_stamps_that_go_back_and_values_that_are_not_finite_are_dropped():
    buffer = filled()
    for stamp_s in (101.9, np.nan, np.inf):
        assert not buffer.add_image(stamp_s, np.zeros((16, 16, 3), np.uint8))
        assert not buffer.add_pose(stamp_s, at(0), 0.0)
    assert not buffer.add_pose(103.0, at(np.nan), 0.0)
    assert not buffer.add_pose(103.0, at(0), np.inf)
    assert buffer.sample().stamp_s == pytest.approx(102.0)


def test_old_data_is_forgotten_and_clear_forgets_all():
    buffer = filled(seconds=60.0)
    with pytest.raises(ObservationNotReadyError, match="not remembered"):
        buffer.sample(at_s=buffer.newest_s - 30.0)
    buffer.clear()
    with pytest.raises(ObservationNotReadyError):
        buffer.sample()


def test_an_observation_of_the_past_is_what_was_given_then():
    then = filled(seconds=2.0).sample()
    again = filled(seconds=3.6).sample(102.0)
    assert again.stamp_s == then.stamp_s
    np.testing.assert_array_equal(again.eef_pose, then.eef_pose)
    np.testing.assert_array_equal(again.frames, then.frames)
    assert filled(seconds=3.6).sample(102.04).stamp_s == then.stamp_s  # the next image came at 102.05


def test_what_followed_an_observation_is_still_there_when_its_future_has_come():
    buffer = filled(seconds=30.0)
    past = buffer.sample(buffer.newest_s - 1.6)
    assert past.stamp_s == pytest.approx(128.4)
    seen = images.to_uint8(buffer.frames_at(past.stamp_s + np.array([0.4, 0.8, 1.2, 1.6])))
    assert seen[:, 0, 0, 0].tolist() == [int(10 * t) % 256 for t in (28.8, 29.2, 29.6, 30.0)]


@pytest.mark.parametrize(
    ("at_s", "text"),
    [
        (102.1, "the newest image is 0.10 s older than the wanted time"),
        (99.5, r"2\.50 s ago is not remembered, only the last 2\.00 s"),
        (100.5, r"no image within 60 ms of 2\.70 s ago"),
    ],
)
def test_an_observation_of_a_time_that_is_not_remembered_is_refused(at_s, text):
    with pytest.raises(ObservationNotReadyError, match=text):
        filled().sample(at_s)


def test_an_observation_or_a_frame_within_an_outage_is_refused():
    buffer = filled()
    buffer.add_pose(103.0, at(3.0), 0.0)
    buffer.add_image(103.0, np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(ObservationNotReadyError, match="no image in the 60 ms before 0.50 s ago"):
        buffer.sample(102.5)
    with pytest.raises(ObservationNotReadyError, match="no image within 60 ms of 0.50 s ago"):
        buffer.frames_at([102.0, 102.5])
    with pytest.raises(ObservationNotReadyError, match="no image yet"):
        ObservationBuffer(CONFIG, 8).frames_at([102.0])


def test_absolute_proprioception_is_the_pose_itself_and_relative_has_the_newest_at_zero():
    eef = np.stack([at(0.1), at(0.3)])
    widths, start = np.array([0.01, 0.02]), at(0.0)
    absolute = proprioception(eef, widths, start, absolute=True)
    np.testing.assert_allclose(absolute, poses.encode(eef, widths))
    relative = proprioception(eef, widths, start, absolute=False)
    assert relative.shape == (2, 16)
    np.testing.assert_allclose(relative[:, 0], [-0.2, 0.0], atol=1e-12)


@pytest.mark.parametrize("resize", images.RESIZE_MODES)
def test_images_are_cropped_to_the_square_resized_and_scaled(resize):
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, 10:50] = 255
    x = images.prepare(picture, 8, resize)
    assert x.shape == (3, 8, 8)
    assert x.min() == 1.0
    assert (images.to_uint8(x) == 255).all()


def test_other_images_are_refused():
    with pytest.raises(ValueError, match="got \\(4, 4\\)"):
        images.prepare(np.zeros((4, 4), np.uint8), 8, "area")
    with pytest.raises(ValueError, match="float32"):
        images.prepare(np.zeros((4, 4, 3), np.float32), 8, "area")
    with pytest.raises(ValueError, match="at least one pixel, got 0 x 4"):
        images.prepare(np.zeros((0, 4, 3), np.uint8), 8, "area")
    with pytest.raises(ValueError, match="unknown resize mode 'cubic'"):
        images.prepare(np.zeros((4, 4, 3), np.uint8), 8, "cubic")
