# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest

from uva_core import actions, images, poses
from uva_core.data.windows import Windows
from uva_core.observation.buffer import ObservationBuffer
from uva_core.observation.observation import proprioception


@pytest.fixture
def cut(demonstrations, tiny_config):
    """Cut windows with some fields of the configurations of model and observation changed."""

    def cut(data=demonstrations, *, model=None, observation=None):
        return Windows(
            data,
            dataclasses.replace(tiny_config.model, **(model or {})),
            dataclasses.replace(tiny_config.observation, **(observation or {})),
        )

    return cut


def test_history_and_future_stay_in_their_episode(cut):
    windows = cut()
    assert windows.history[25].tolist() == [20, 20, 21, 25]
    assert windows.future[25].tolist() == [29, 33, 37, 41]
    assert windows.future[15].tolist() == [19, 19, 19, 19]


def test_relative_actions_start_at_the_pose_of_the_window(cut):
    windows = cut()
    np.testing.assert_allclose(windows.actions[2, :, 0].numpy(), 0.01 * np.arange(1, 17), atol=1e-6)
    np.testing.assert_allclose(windows.expert_actions[2, :, 1].numpy(), 0.001, atol=1e-6)


def test_absolute_actions_are_those_that_were_commanded(cut, demonstrations):
    windows = cut(observation={"action_space": "absolute_pose"})
    np.testing.assert_allclose(windows.actions[2].numpy(), demonstrations.actions[2:18], atol=1e-7)
    np.testing.assert_allclose(windows.expert_actions[22].numpy(), demonstrations.expert_actions[22:38], atol=1e-7)


@pytest.mark.parametrize("space", ["relative_pose", "absolute_pose"])
def test_actions_of_a_window_become_those_that_were_commanded_as_they_do_in_the_policy(cut, demonstrations, space):
    demonstrations.pose[:] = poses.from_vector(np.random.default_rng(0).normal(0, 0.3, (50, 6)))
    chunk = cut(observation={"action_space": space}).actions[22].numpy().astype(float)
    restored = actions.from_model(chunk, demonstrations.pose[22], space)
    np.testing.assert_allclose(restored, demonstrations.actions[22:38], atol=1e-6)


def test_a_first_action_at_the_present_is_the_one_that_was_commanded_a_step_ago(cut, demonstrations):
    windows = cut(observation={"action_space": "absolute_pose", "first_action_step": 0})
    np.testing.assert_allclose(windows.actions[22].numpy(), demonstrations.actions[21:37], atol=1e-7)


def test_only_windows_full_of_expert_actions_are_imitable(cut):
    assert cut().imitable.tolist() == list(range(20, 30))


def test_robot_states_are_the_history_of_the_pose(cut):
    states = cut().proprioception
    np.testing.assert_allclose(states[14, :, 0].numpy(), [0.02, 0.06, 0.1, 0.14], atol=1e-6)
    assert cut(model={"proprioception_dim": 0}).proprioception is None


def test_states_of_another_kind_are_the_last_steps_in_a_row(cut, demonstrations):
    demonstrations.state = np.stack([np.arange(50.0), np.zeros(50)], axis=1)
    windows = cut(model={"proprioception_dim": 2, "proprioception_steps": 16}, observation={"state_space": "vector"})
    assert windows.proprioception[40, :, 0].tolist() == list(range(25, 41))
    assert windows.proprioception[22, :, 0].tolist() == [20] * 14 + [21, 22]


@pytest.mark.parametrize("space", ["relative_pose", "absolute_pose"])
def test_past_actions_are_the_executed_ones_before_the_chunk_in_its_action_space(cut, demonstrations, space):
    demonstrations.pose[:] = poses.from_vector(np.random.default_rng(0).normal(0, 0.3, (50, 6)))
    windows = cut(model={"past_actions": True}, observation={"action_space": space})
    expected = actions.to_model(demonstrations.actions[24:40], demonstrations.pose[40], space)
    np.testing.assert_allclose(windows.past_actions[40].numpy(), expected, atol=1e-6)
    assert not windows.past_actions_missing[40].any()


def test_past_actions_before_the_episode_are_missing(cut):
    windows = cut(model={"past_actions": True})
    assert windows.past_actions_missing.sum(dim=1)[[0, 19, 20, 23, 36]].tolist() == [16, 0, 16, 13, 0]
    assert windows.past_actions_missing[23].tolist() == [True] * 13 + [False] * 3
    assert cut().past_actions is None


def test_each_window_has_the_text_of_its_episode(cut, demonstrations):
    demonstrations.text = np.eye(2, 8)
    text = cut(model={"text_dim": 8}).text
    assert text[[19, 20]].argmax(dim=1).tolist() == [0, 1]
    assert cut().text is None


@pytest.mark.parametrize(
    ("model", "observation", "message"),
    [
        ({}, {"action_space": "vector"}, "action_space is 'vector', but the actions of the data are EEF poses"),
        ({}, {"state_space": "vector"}, "state_space is 'vector', and the data has no states but EEF poses"),
        ({}, {"state_space": "relative_pose"}, r"robot state of shape \(4, 10\), the data gives \(4, 16\)"),
        ({"proprioception_steps": 8}, {}, r"robot state of shape \(8, 10\), the data gives \(4, 10\)"),
        ({"proprioception_target_dim": 6}, {}, "windows hold no such target"),
        ({"text_dim": 512}, {}, "language latents of 512 numbers, and the data has none"),
        ({"wrist_history": True}, {}, "sees a wrist camera, and the data has no frames of one"),
        ({"wrist_future": True}, {}, "sees a wrist camera, and the data has no frames of one"),
        ({}, {"rate_hz": 60.0}, "the data has 10.0 steps a second, the observations 60.0"),
    ],
)
def test_a_model_that_is_given_what_the_data_lacks_is_refused(cut, model, observation, message):
    with pytest.raises(ValueError, match=message):
        cut(model=model, observation=observation)


def test_latents_of_another_size_and_data_without_an_expert_are_refused(cut, demonstrations):
    with pytest.raises(ValueError, match="of 512 numbers, and the data has latents of 8 numbers"):
        cut(dataclasses.replace(demonstrations, text=np.eye(2, 8)), model={"text_dim": 512})
    demonstrations.is_expert[:] = False
    with pytest.raises(ValueError, match="nothing to imitate"):
        cut()


def test_windows_of_two_sets_stay_in_their_set(cut):
    everything = {"past_actions": True}
    windows, both = cut(model=everything), cut(model=everything)
    both.extend(windows)
    first = len(windows)
    assert len(both) == 2 * first
    assert both.imitable.tolist() == [*windows.imitable, *(windows.imitable + first)]
    assert both.history[first].tolist() == [first] * 4
    assert both.future[first - 1].tolist() == [first - 1] * 4
    assert both.text is None
    for name in ("actions", "expert_actions", "past_actions", "past_actions_missing", "proprioception"):
        assert (getattr(both, name)[first:] == getattr(windows, name)).all(), name


def test_training_windows_and_the_live_buffer_see_the_same(cut, demonstrations, tiny_config):
    """One recorded episode through both: equal frames and equal robot states."""
    windows, start = cut(), int(demonstrations.episode_ends[0])
    live = ObservationBuffer(tiny_config.observation, 64, pad_start=True)
    for step in range(start, start + 15):
        live.add_pose((step - start) / 10, demonstrations.pose[step], float(demonstrations.gripper_width[step]))
        live.add_image((step - start) / 10, demonstrations.images[step])
        seen = live.sample()
        stored = images.prepare(demonstrations.images[windows.history[step]], 64, "area")
        assert (seen.frames == stored).all()
        state = proprioception(seen.eef_pose, seen.gripper_width, seen.start_pose, absolute=True)
        np.testing.assert_allclose(state, windows.proprioception[step].numpy(), atol=1e-6)
