# SPDX-License-Identifier: Apache-2.0
"""The video of a made-up recording."""

import imageio_ffmpeg
import pytest

from uva_node_utils import topics
from uva_replay.camera_video import BAR_HEIGHT, FRAME_SIZE, RESULT_S, write_camera_video
from uva_replay.episode import Episode

EPISODE = Episode(1, 20000, 100.0, 109.9, True)


def test_video_holds_the_result_of_each_episode(made_up_recording, tmp_path):
    path = tmp_path / "camera.mp4"
    write_camera_video(made_up_recording({}), [EPISODE], path)
    reader = imageio_ffmpeg.read_frames(str(path))
    assert next(reader)["size"] == (FRAME_SIZE, FRAME_SIZE + BAR_HEIGHT)
    assert sum(1 for _ in reader) == 20 + round(RESULT_S * 40)


def test_video_without_images_is_an_error(made_up_recording, tmp_path):
    recording = made_up_recording({})
    recording.image_times_s = []
    with pytest.raises(ValueError, match=f"no image on {topics.CAMERA} in episode 1"):
        write_camera_video(recording, [EPISODE], tmp_path / "camera.mp4")
