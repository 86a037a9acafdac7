# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from uva_core import actions, poses
from uva_core.actions import ACTION_SPACES, ActionSequence

pose_vectors = arrays(np.float64, (3, 6), elements=st.floats(-2, 2))  # position m, rotation vector rad
widths = arrays(np.float64, 3, elements=st.floats(0, 0.09))


@pytest.mark.parametrize("space", ACTION_SPACES)
@given(vectors=pose_vectors, width=widths, base=arrays(np.float64, 6, elements=st.floats(-2, 2)))
def test_to_the_model_and_from_the_model_are_inverse(space, vectors, width, base):
    targets = poses.encode(poses.from_vector(vectors), width)
    written = actions.to_model(targets, poses.from_vector(base), space)
    np.testing.assert_allclose(actions.from_model(written, poses.from_vector(base), space), targets, atol=1e-9)


def test_each_window_of_a_batch_has_its_own_base_pose():
    rng = np.random.default_rng(0)
    targets = poses.encode(poses.from_vector(rng.normal(size=(5, 3, 6))), np.zeros((5, 3)))
    bases = poses.from_vector(rng.normal(size=(5, 6)))
    together = actions.to_model(targets, bases, "relative_pose")
    for one, target, base in zip(together, targets, bases, strict=True):
        np.testing.assert_allclose(one, actions.to_model(target, base, "relative_pose"), atol=1e-12)
    np.testing.assert_allclose(actions.from_model(together, bases, "relative_pose"), targets, atol=1e-9)


def test_a_relative_action_of_nothing_is_the_base_pose():
    base = poses.from_vector(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))
    still = poses.encode(np.eye(4), np.float64(0.03))[None]
    np.testing.assert_allclose(
        actions.from_model(still, base, "relative_pose")[0], poses.encode(base, np.float64(0.03)), atol=1e-12
    )
    assert (actions.from_model(still, base, "absolute_pose") == still).all()


def test_rotations_from_the_model_become_orthonormal_and_vectors_stay_as_they_are():
    predicted = np.array([[0.0, 0, 0, 2, 0.1, 0, 0, 3, 0.2, 0.05]])
    restored = poses.decode(actions.from_model(predicted, np.eye(4), "absolute_pose"))[0][0, :3, :3]
    np.testing.assert_allclose(restored @ restored.T, np.eye(3), atol=1e-12)
    assert actions.from_model(predicted, np.eye(4), "vector") is predicted
    assert actions.to_model(predicted, np.eye(4), "vector") is predicted


def test_an_unknown_space_is_refused():
    for convert in (actions.to_model, actions.from_model):
        with pytest.raises(ValueError, match="unknown action space 'polar'; choose one of: relative_pose, absolute"):
            convert(np.zeros((1, 10)), np.eye(4), "polar")


def test_a_sequence_gives_its_targets_as_poses_and_widths():
    pose, width = poses.from_vector(np.random.default_rng(0).normal(size=(4, 6))), np.array([0.01, 0.02, 0.03, 0.04])
    sequence = ActionSequence.from_poses(pose, width)
    np.testing.assert_allclose(sequence.poses, pose, atol=1e-12)
    assert (sequence.gripper_width == width).all()


def test_actions_that_are_no_targets_have_no_poses():
    for name in ("poses", "gripper_width"):
        with pytest.raises(ValueError, match="these 2-D actions are no EEF poses"):
            getattr(ActionSequence(np.zeros((4, 2))), name)
