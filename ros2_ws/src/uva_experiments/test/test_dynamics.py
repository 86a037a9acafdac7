# SPDX-License-Identifier: Apache-2.0
"""Windows of an episode hold what was then, what was commanded next and what followed."""

import numpy as np
import pytest

from arx_x5_sim.collection.episodes import Episode, Kind
from uva_core import presets
from uva_core.actions import ActionSequence
from uva_core.config import UvaConfig
from uva_core.policy.policy import UvaPolicy
from uva_core.policy.predictions import ActionPrediction, VideoPrediction
from uva_core.serialization import from_dict
from uva_experiments.dynamics import STRIDE_STEPS, cut, forward_errors, inverse_errors, moved_to

STEPS = 30


@pytest.fixture(scope="module")
def policy():
    return UvaPolicy(from_dict(UvaConfig, presets.load("uva_tiny")["config"]))


@pytest.fixture(scope="module")
def windows(policy):
    """Of an episode in which x grows by 1 cm a step, blocks by 2 cm, and images get brighter."""
    step = np.arange(STEPS, dtype=np.float32)
    position = np.stack([0.01 * step, 0 * step, 0 * step], axis=1)
    turned = np.tile([0.0, 0.0, np.pi / 2], (STEPS, 1))
    arrays = {
        "camera0_rgb": np.tile(step.astype(np.uint8)[:, None, None, None], (1, 64, 64, 3)),
        "robot0_eef_pos": position,
        "robot0_eef_rot_axis_angle": turned,
        "robot0_gripper_width": np.full((STEPS, 1), 0.02),
        "action": np.concatenate([position + [0.01, 0, 0], turned, np.full((STEPS, 1), 0.02)], axis=1),
        "block_pose": np.tile(0.02 * step[:, None, None], (1, 2, 3)),
    }
    return list(cut(Episode(0, Kind.PLAY, True, arrays), policy))


def test_a_window_ends_where_the_episode_does(windows):
    assert len(windows) == 2
    assert [round(float(w.observation.base_pose[0, 3]) * 100) for w in windows] == [0, STRIDE_STEPS]


def test_a_window_holds_the_next_actions_and_the_frames_they_led_to(windows):
    window = windows[1]
    assert (window.actions.poses[:, 0, 3] * 100).round().tolist() == list(range(9, 25))
    assert window.future[:, 0, 0, 0].tolist() == [12, 16, 20, 24]
    assert (window.blocks_before[0] * 50).round().tolist() == [8, 8]
    assert (window.blocks_after[1] * 50).round().tolist() == [24, 24]


def test_actions_are_moved_with_the_pose_they_start_from(windows):
    first, second = (w.observation for w in windows)
    moved = moved_to(windows[0].actions, first, second)
    np.testing.assert_allclose(moved.poses, windows[1].actions.poses, atol=1e-6)


def test_errors_are_means_over_what_moved(windows, policy, monkeypatch):
    def predict_inverse(observations, futures, seeds):
        truth = windows[seeds[0]].actions
        raised = truth.poses
        raised[:, 2, 3] += 0.03
        assert futures[0].shape == (4, 3, 64, 64)
        vectors = ActionSequence.from_poses(raised, truth.gripper_width).vectors
        return [ActionPrediction(vectors, policy.action_times_s, {})]

    monkeypatch.setattr(policy, "predict_inverse", predict_inverse)
    result = inverse_errors(policy, windows)
    assert result["error_cm"] == pytest.approx(3.0)
    assert result["standing_still_cm"] == pytest.approx(8.5)

    def frames(actions):
        """A grey that tells which actions a frame was predicted from."""
        own = [any(np.allclose(a.vectors, w.actions.vectors) for w in windows) for a in actions]
        return [VideoPrediction(policy.frame_times_s, np.full((4, 8, 8, 3), 100 if o else 50, np.uint8)) for o in own]

    monkeypatch.setattr(policy, "predict_forward", lambda observation, actions, seeds: frames(actions))
    monkeypatch.setattr(policy, "predict_video", lambda observations, seeds: frames([windows[0].actions])[:1])

    def readout(pictures):
        """Perfect for the bright ones, 10 cm off and half lost for the others."""
        after = np.stack([w.blocks_after for w in windows])
        bright = pictures.mean(axis=(1, 2, 3)) == 100
        lost = np.stack([np.zeros(len(windows), bool), ~bright], axis=1)
        return np.where(bright[:, None, None], after, after + [0.1, 0.0]), lost

    result = forward_errors(policy, windows, readout)
    assert result["own actions"] == {"blocks": 4, "error_cm": 0.0, "error_median_cm": 0.0, "lost": 0.0}
    assert result["newest frame"] == {"blocks": 4, "error_cm": 10.0, "error_median_cm": 10.0, "lost": 0.5}
