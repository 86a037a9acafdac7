# SPDX-License-Identifier: Apache-2.0
"""What the model foresees at a moment of the recording in which a block moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uva_bringup.demo import topics
from uva_bringup.demo.episode import Episode
from uva_bringup.demo.pictures import Pixels
from uva_bringup.demo.recording import Recording, stamp_of

# Longest history and future of the shipped model; the chosen moment has both within its episode.
HISTORY_S = 1.6
FUTURE_S = 1.6


@dataclass(frozen=True)
class Moment:
    """A time within an episode."""

    episode: Episode
    time_s: float

    @property
    def offset_s(self) -> float:
        """Since the episode's start."""
        return self.time_s - self.episode.start_s


@dataclass(frozen=True)
class Frame:
    """An image and its time, relative to the moment of prediction."""

    offset_s: float
    image: Pixels


@dataclass(frozen=True)
class Prediction:
    """History that the model was given, frames that it predicted, and those that the camera then saw."""

    history: list[Frame]
    predicted: list[Frame]
    true: list[Frame]


def find_moment(recording: Recording, episodes: Sequence[Episode]) -> Moment:
    """Return when a block moved furthest within the time that the model predicts.

    Raises:
        ValueError: All episodes are too short to hold a history and a future.
    """
    best: tuple[float, Moment] | None = None
    for episode in episodes:
        states = [m for _, m in recording.messages(topics.WORLD_STATE, episode.start_s, episode.end_s)]
        times_s = np.array([stamp_of(state) for state in states])
        blocks = np.array([[(b.position.x, b.position.y) for b in state.blocks] for state in states])
        for index in candidate_indices(times_s):
            time_s = float(times_s[index])
            moved_m = furthest_motion_m(times_s, blocks, time_s)
            if best is None or moved_m > best[0]:
                best = (moved_m, Moment(episode, time_s))
    if best is None:
        raise ValueError(f"no episode lasted {HISTORY_S + FUTURE_S:.1f} s, too short to predict in")
    return best[1]


def candidate_indices(times_s: np.ndarray) -> np.ndarray:
    """Return the indices of times with enough recorded before and after them."""
    if not times_s.size:
        return np.zeros(0, int)
    return np.flatnonzero((times_s >= times_s[0] + HISTORY_S) & (times_s <= times_s[-1] - FUTURE_S))


def furthest_motion_m(times_s: np.ndarray, blocks: np.ndarray, time_s: float) -> float:
    """Return how far the block that moves furthest gets from a time on, within FUTURE_S.

    Args:
        times_s: (N,) stamps.
        blocks: (N, B, 2) positions in metres.
        time_s: Start.
    """
    start, end = np.searchsorted(times_s, (time_s, time_s + FUTURE_S))
    return float(np.linalg.norm(blocks[min(end, len(blocks) - 1)] - blocks[start], axis=-1).max())


def predict(recording: Recording, moment: Moment, checkpoint: Path) -> Prediction:
    """Let the model predict frames from what was recorded before a moment, and find what then happened.

    Raises:
        ValueError: The recording misses frames around the moment.
    """
    time_s = moment.time_s
    images = list(recording.images(topics.CAMERA, time_s - 2 * HISTORY_S, time_s + FUTURE_S + 0.1))
    past = [(stamp_s, image) for stamp_s, image in images if stamp_s <= time_s]
    if not past:
        raise ValueError(f"no image on {topics.CAMERA} before the moment of prediction")
    newest_s = past[-1][0]
    poses = [m for _, m in recording.messages(topics.EEF_POSE, time_s - 2 * HISTORY_S, time_s + 0.1)]
    joints = [m for _, m in recording.messages(topics.JOINT_STATES, time_s - 2 * HISTORY_S, time_s + 0.1)]
    history_offsets_s, predicted = predict_frames(checkpoint, past, poses, joints)
    return Prediction(
        history=[_nearest(images, newest_s, offset_s) for offset_s in history_offsets_s],
        predicted=predicted,
        true=[_nearest(images, newest_s, frame.offset_s) for frame in predicted],
    )


def predict_frames(
    checkpoint: Path,
    images: Sequence[tuple[float, Pixels]],
    eef_poses: Sequence[Any],
    joint_states: Sequence[Any],
) -> tuple[list[float], list[Frame]]:
    """Run the video model on recorded messages.

    Args:
        checkpoint: File to load.
        images: (stamp in seconds, RGB image), oldest first; the model predicts from the newest one on.
        eef_poses: PoseStamped messages around the images' stamps.
        joint_states: JointState messages around them, for the gripper's opening.

    Returns:
        Times of the history frames that the model used, and the predicted frames, relative to the newest image.
    """
    # Here, because torch takes seconds to load and is not needed to start the stack.
    from scipy.spatial.transform import Rotation

    from uva_core.policy import UvaPolicy

    policy = UvaPolicy.load(checkpoint)
    buffer = policy.make_buffer(pad_start=True)
    widths = np.array([message.position[list(message.name).index("gripper")] for message in joint_states])
    width_stamps_s = np.array([stamp_of(message) for message in joint_states])
    for message in eef_poses:
        p, q = message.pose.position, message.pose.orientation
        transform = np.eye(4)
        transform[:3, :3] = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
        transform[:3, 3] = p.x, p.y, p.z
        stamp_s = stamp_of(message)
        buffer.add_pose(stamp_s, transform, float(np.interp(stamp_s, width_stamps_s, widths)))
    for stamp_s, image in images:
        buffer.add_image(stamp_s, image)
    video = policy.predict_video([buffer.sample()], seeds=[0])[0]
    offsets = policy.config.observation.frame_offsets
    history_s = [offset / policy.config.observation.rate_hz for offset in offsets]
    times_s = video.time_from_observation_s
    return history_s, [Frame(float(t), frame) for t, frame in zip(times_s, video.frames, strict=True)]


def _nearest(images: Sequence[tuple[float, Pixels]], newest_s: float, offset_s: float) -> Frame:
    wanted_s = newest_s + offset_s
    stamp_s, image = min(images, key=lambda item: abs(item[0] - wanted_s))
    return Frame(stamp_s - newest_s, image)
