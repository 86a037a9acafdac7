# SPDX-License-Identifier: Apache-2.0
"""Where a prediction is made, and with what, in made-up recordings."""

from types import SimpleNamespace

import numpy as np
import pytest

from uva_core import presets
from uva_core.config import UvaConfig
from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import from_dict
from uva_node_utils import topics
from uva_replay.episode import Episode
from uva_replay.prediction import EpisodeTime, candidate_times_s, find_moments, furthest_motion_m, predict_best_moment

EPISODES = (Episode(1, 20000, 100.0, 110.0, True), Episode(2, 20001, 120.0, 140.0, False))


@pytest.fixture
def world(message):
    """Return a function that makes a world state in which a block is at x."""

    def make(time_s, x):
        block = SimpleNamespace(position=SimpleNamespace(x=x, y=0.0))
        return time_s, message(time_s, blocks=[block])

    return make


def test_best_moment_is_where_a_block_moves_most_with_its_future_in_the_episode(made_up_recording, world):
    late_push = [world(t, 0.3 + 0.02 * max(t - 130.0, 0.0)) for t in np.arange(120.0, 140.0, 0.05)]
    moved_after_the_end = [world(t, 0.3 + 0.1 * max(t - 109.0, 0.0)) for t in np.arange(100.0, 110.0, 0.05)]
    recording = made_up_recording({topics.WORLD_STATE: moved_after_the_end + late_push})
    moments = find_moments(recording, EPISODES, 1.6)
    assert moments[0].episode.seed == 20000
    assert moments[0].time_s == pytest.approx(108.4, abs=0.1)
    assert {moment.episode.seed for moment in moments} == {20000, 20001}
    times_s = sorted(moment.time_s for moment in moments)
    assert len(times_s) > 5
    assert np.diff(times_s).min() >= 0.5


def test_episodes_that_were_solved_at_once_have_a_moment_after_all_others(made_up_recording, world):
    quick = Episode(3, 20002, 150.0, 150.4, True)
    states = [world(t, 0.3 + 0.3 * max(t - 150.0, 0.0)) for t in np.arange(150.0, 150.4, 0.05)]
    recording = made_up_recording({topics.WORLD_STATE: states})
    assert find_moments(recording, [quick], 1.6) == [EpisodeTime(quick, 150.0)]
    resting = [world(t, 0.3) for t in np.arange(100.0, 110.0, 0.05)]
    slow = made_up_recording({topics.WORLD_STATE: resting + states})
    assert find_moments(slow, [EPISODES[0], quick], 1.6)[0].episode.seed == 20000
    assert find_moments(made_up_recording({}), EPISODES, 1.6) == []


def test_motion_is_that_of_the_block_that_moves_furthest():
    times_s = np.array([0.0, 1.0, 1.6, 2.0])
    blocks = np.zeros((4, 2, 2))
    blocks[2:, 1] = (0.03, 0.04)
    assert furthest_motion_m(times_s, blocks, 0.0, 1.6) == pytest.approx(0.05)
    assert list(candidate_times_s(times_s, 1.0)) == [0.0, 1.0]
    assert list(candidate_times_s(times_s, 9.0)) == [0.0]
    assert candidate_times_s(np.zeros(0), 1.6).size == 0


@pytest.fixture
def checkpoint(tmp_path):
    """Return the smallest model, untrained."""
    UvaPolicy(from_dict(UvaConfig, presets.load("uva_tiny")["config"])).save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def states(message, world):
    times_s = np.arange(90.0, 160.0, 0.05)
    pose = SimpleNamespace(
        position=SimpleNamespace(x=0.3, y=0.0, z=0.1), orientation=SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)
    )
    poses = [(t, message(t, pose=pose)) for t in times_s]
    for _, sent in poses:
        sent.header.frame_id = "base_link"
    return {
        topics.EEF_POSE: poses,
        topics.JOINT_STATES: [(t, message(t, name=["gripper"], position=[0.04])) for t in times_s],
        topics.WORLD_STATE: [world(t, 0.3 + 0.02 * max(t - 106.0, 0.0)) for t in times_s],
    }


def test_a_gap_at_the_best_moment_leads_to_the_next(made_up_recording, checkpoint, states):
    recording = made_up_recording(states, image_period_s=0.05)
    times_s = recording.image_times_s
    recording.image_times_s = times_s[(times_s < 105.01) | (times_s > 105.49)]
    best = find_moments(recording, EPISODES[:1], 1.6)[0]
    moment, prediction = predict_best_moment(recording, EPISODES[:1], checkpoint)
    assert moment != best
    assert len(prediction.true) == len(prediction.predicted) == 4
    assert prediction.predicted[0].image.shape == (64, 64, 3)


def test_episode_shorter_than_the_prediction_shows_what_was_seen(made_up_recording, checkpoint, states):
    recording = made_up_recording(states, image_period_s=0.05)
    quick = Episode(1, 20000, 106.0, 106.9, True)
    moment, prediction = predict_best_moment(recording, [quick], checkpoint)
    assert moment.offset_s == pytest.approx(0.0, abs=0.05)
    assert (len(prediction.history), len(prediction.predicted), len(prediction.true)) == (4, 4, 2)


def test_recording_without_images_has_no_moment(made_up_recording, checkpoint, states):
    recording = made_up_recording(states, image_period_s=0.05)
    recording.image_times_s = []
    with pytest.raises(ValueError, match=f"no moment to predict at: no image on {topics.CAMERA}"):
        predict_best_moment(recording, EPISODES, checkpoint)
