# SPDX-License-Identifier: Apache-2.0
"""What the model predicts at a moment of the recording in which a block moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uva_node_utils import topics
from uva_replay.episode import Episode
from uva_replay.pictures import Pixels
from uva_replay.recording import Recording, stamp_of

if TYPE_CHECKING:
    from uva_core.policy.policy import UvaPolicy

# Moments that are tried, and how far apart they are: one may lie too close to a gap in the recording.
MOST_MOMENTS = 10
MOMENT_SPACING_S = 0.5
# The scene is set some time before its episode, and then stands still.
STANDSTILL_S = 1.0
# Poses are read for this long after the moment, so that the one after the newest image is among them.
POSE_MARGIN_S = 0.1


@dataclass(frozen=True)
class EpisodeTime:
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
    """History that the model was given, frames that it predicted, and what the camera saw of that in the episode."""

    history: list[Frame]
    predicted: list[Frame]
    true: list[Frame]


def predict_best_moment(
    recording: Recording, episodes: Sequence[Episode], checkpoint: Path
) -> tuple[EpisodeTime, Prediction]:
    """Predict at the best moment that the recording allows.

    Raises:
        RuntimeError: The checkpoint cannot be used.
        ValueError: No moment has all that the model needs.
    """
    # Here, because torch takes seconds to load and is not needed to run the episodes.
    from uva_core.observation.buffer import ObservationNotReadyError
    from uva_core.policy.policy import UvaPolicy

    policy = UvaPolicy.load(checkpoint)
    reason = "no world state was recorded"
    for moment in find_moments(recording, episodes, float(policy.frame_times_s[-1])):
        try:
            return moment, predict(recording, moment, policy)
        except (ObservationNotReadyError, ValueError) as error:
            reason = str(error)
    raise ValueError(f"no moment to predict at: {reason}")


def find_moments(recording: Recording, episodes: Sequence[Episode], future_s: float) -> list[EpisodeTime]:
    """Return moments after which a block moved, furthest first, and some distance apart.

    In an episode that ends too early for `future_s` it is the start.
    """
    found: list[tuple[float, EpisodeTime]] = []
    for episode in episodes:
        states = [m for _, m in recording.messages(topics.WORLD_STATE, episode.start_s, episode.end_s)]
        times_s = np.array([stamp_of(state) for state in states])
        blocks = np.array([[(b.position.x, b.position.y) for b in state.blocks] for state in states])
        for time_s in candidate_times_s(times_s, future_s):
            found.append((furthest_motion_m(times_s, blocks, time_s, future_s), EpisodeTime(episode, float(time_s))))
    moments: list[EpisodeTime] = []
    # With the whole future first, then by motion.
    for _, moment in sorted(found, key=lambda item: (item[1].time_s + future_s > item[1].episode.end_s, -item[0])):
        if all(abs(moment.time_s - other.time_s) >= MOMENT_SPACING_S for other in moments):
            moments.append(moment)
    return moments[:MOST_MOMENTS]


def candidate_times_s(times_s: np.ndarray, future_s: float) -> np.ndarray:
    """Return the times with `future_s` recorded after them, or else the first one."""
    return times_s[times_s <= max(times_s[-1] - future_s, times_s[0])] if times_s.size else times_s


def furthest_motion_m(times_s: np.ndarray, blocks: np.ndarray, time_s: float, future_s: float) -> float:
    """Return how far the block that moves furthest gets from a time on, within `future_s`.

    Args:
        times_s: (N,) stamps.
        blocks: (N, B, 2) positions in metres.
        time_s: Start.
        future_s: How long.
    """
    start, end = np.searchsorted(times_s, (time_s, time_s + future_s))
    return float(np.linalg.norm(blocks[min(end, len(blocks) - 1)] - blocks[start], axis=-1).max())


def predict(recording: Recording, moment: EpisodeTime, policy: UvaPolicy) -> Prediction:
    """Let the model predict frames from what was recorded before a moment, and find what then happened.

    Raises:
        ObservationNotReadyError: The recording misses frames or poses before the moment.
        ValueError: It has no image at all there, or a message that cannot be used.
    """
    time_s, episode = moment.time_s, moment.episode
    config = policy.config.observation
    history_s = [offset / config.rate_hz for offset in config.frame_offsets]
    # What the history lacks at its start is filled with the first of these images, which is the same picture.
    start_s = max(episode.start_s - STANDSTILL_S, time_s + 2 * history_s[0])
    end_s = min(episode.end_s, time_s + float(policy.frame_times_s[-1]) + config.max_frame_gap_s)
    images = list(recording.images(topics.CAMERA, start_s, end_s))
    past = [(stamp_s, image) for stamp_s, image in images if stamp_s <= time_s]
    if not past:
        raise ValueError(f"no image on {topics.CAMERA} before the moment of prediction")
    poses = [m for _, m in recording.messages(topics.EEF_POSE, start_s, time_s + POSE_MARGIN_S)]
    joints = [m for _, m in recording.messages(topics.JOINT_STATES, start_s, time_s + POSE_MARGIN_S)]
    predicted = predict_frames(policy, past, poses, joints)
    newest_s = past[-1][0]
    future_s = np.array([frame.offset_s for frame in predicted])
    return Prediction(
        history=_nearest(images, newest_s, np.array(history_s), np.inf),
        predicted=predicted,
        true=_nearest(images, newest_s, future_s, config.max_frame_gap_s),
    )


def predict_frames(
    policy: UvaPolicy, images: Sequence[tuple[float, Pixels]], eef_poses: Sequence[Any], joint_states: Sequence[Any]
) -> list[Frame]:
    """Run the video model on recorded messages.

    Args:
        policy: The model.
        images: (stamp in seconds, RGB image), oldest first; the model predicts from the newest one on.
        eef_poses: PoseStamped messages around the images' stamps.
        joint_states: JointState messages around them, for the gripper's opening.

    Returns:
        The predicted frames, relative to the newest image.

    Raises:
        ObservationNotReadyError: There are frames or poses missing.
        ValueError: A message cannot be used.
    """
    from uva_core import poses
    from uva_core.observation.replay import Stream, replay
    from uva_node_utils.conversions import eef_pose, gripper_width

    if not joint_states:
        raise ValueError(f"no message on {topics.JOINT_STATES} before the moment of prediction")
    widths = [gripper_width(message) for message in joint_states]
    width_stamps_s = [stamp_of(message) for message in joint_states]
    stamps_s = np.array([stamp_of(message) for message in eef_poses])
    matrices = [poses.matrix_from_quaternion(*eef_pose(m, m.header.frame_id)) for m in eef_poses]
    moments = replay(
        policy.make_buffer(pad_start=True),
        Stream(np.array([stamp_s for stamp_s, _ in images]), [image for _, image in images]),
        Stream(stamps_s, list(zip(matrices, np.interp(stamps_s, width_stamps_s, widths).tolist(), strict=True))),
        [images[-1][0]],
        frame_times_s=policy.frame_times_s,
        action_times_s=policy.action_times_s,
        tolerance_s=policy.config.observation.max_frame_gap_s,
    )
    (video,) = policy.predict_video([next(moments).observation], seeds=[0])
    return [
        Frame(float(offset_s), frame)
        for offset_s, frame in zip(video.time_from_observation_s, video.frames, strict=True)
    ]


def _nearest(
    images: Sequence[tuple[float, Pixels]], newest_s: float, offsets_s: NDArray[np.float64], tolerance_s: float
) -> list[Frame]:
    """Return the image nearest to each of these times after the newest one, if it is near enough."""
    from uva_core.observation.replay import Stream

    stream = Stream(np.array([stamp_s for stamp_s, _ in images]), [image for _, image in images])
    found = stream.nearest(newest_s + offsets_s, tolerance_s)
    return [
        Frame(float(stamp_s) - newest_s, image) for stamp_s, image in zip(found.stamps_s, found.values, strict=True)
    ]
