# SPDX-License-Identifier: Apache-2.0
"""camera.mp4: the camera's images of all episodes, labelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import imageio_ffmpeg

from uva_node_utils import topics
from uva_replay import pictures
from uva_replay.episode import Episode
from uva_replay.pictures import Pixels
from uva_replay.recording import Recording

FRAME_SIZE = 512
BAR_HEIGHT = 80
CAMERA_RATE_HZ = 20
SPEED = 2
RESULT_S = 1.5


def write_camera_video(recording: Recording, episodes: Sequence[Episode], path: Path) -> None:
    """Write the camera's images of all episodes as a video, each ending with its result.

    Raises:
        ValueError: No image was recorded in an episode.
    """
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (FRAME_SIZE, FRAME_SIZE + BAR_HEIGHT),
        fps=CAMERA_RATE_HZ * SPEED,
        codec="libx264",
        quality=7,
        macro_block_size=2,
        ffmpeg_log_level="error",
    )
    writer.send(None)
    try:
        for episode in episodes:
            for frame in episode_frames(recording, episode, len(episodes)):
                writer.send(frame)
    finally:
        writer.close()


def episode_frames(recording: Recording, episode: Episode, count: int) -> Iterator[bytes]:
    """Yield the labelled frames of an episode as RGB bytes, the last one held with the result."""
    title = f"episode {episode.number}/{count}   seed {episode.seed}"
    image: Pixels | None = None
    for stamp_s, image in recording.images(topics.CAMERA, episode.start_s, episode.end_s):
        yield labelled(image, title, f"{stamp_s - episode.start_s:.1f} s   (played at {SPEED}x)", pictures.GREY)
    if image is None:
        raise ValueError(f"no image on {topics.CAMERA} in episode {episode.number}")
    result, colour = "not solved", pictures.GREY
    if episode.solved:
        result, colour = f"solved in {episode.duration_s:.1f} s", pictures.GREEN
    last = labelled(image, title, result, colour)
    for _ in range(round(RESULT_S * CAMERA_RATE_HZ * SPEED)):
        yield last


def labelled(image: Pixels, title: str, note: str, colour: pictures.Colour) -> bytes:
    """Return one frame with a bar of two lines above it."""
    picture = pictures.blank(FRAME_SIZE, FRAME_SIZE + BAR_HEIGHT)
    picture.paste(pictures.scaled(image, FRAME_SIZE), (0, BAR_HEIGHT))
    pictures.write(picture, 16, 24, title, 26)
    pictures.write(picture, 16, 57, note, 26, colour)
    return picture.tobytes()
