# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from uva_core import poses

finite = st.floats(-2, 2)
vectors = st.tuples(finite, finite, finite).map(np.array)


def pose(position, rotation_vector):
    return poses.matrix_from_rotation_vector(position, rotation_vector)


@given(vectors, vectors, st.floats(0, 0.09))
def test_encode_and_decode_are_inverse(position, rotation_vector, width):
    original = pose(position, rotation_vector)
    back, back_width = poses.decode(poses.encode(original, np.float64(width)))
    np.testing.assert_allclose(back, original, atol=1e-9)
    assert back_width == width


@given(vectors, vectors, vectors, vectors)
def test_a_relative_pose_put_back_on_its_base_is_the_pose(p1, r1, p2, r2):
    base, target = pose(p1, r1), pose(p2, r2)
    np.testing.assert_allclose(base @ poses.relative_to(base, target), target, atol=1e-9)
    np.testing.assert_allclose(poses.inverse(base) @ base, np.eye(4), atol=1e-9)


def test_the_6d_rotation_is_the_first_two_rows():
    matrix = Rotation.from_rotvec([0.3, -0.2, 0.9]).as_matrix()
    original = np.eye(4)
    original[:3, :3] = matrix
    np.testing.assert_allclose(poses.rotation_6d(original), matrix[:2].reshape(-1))


def test_a_6d_rotation_that_is_not_orthonormal_becomes_a_rotation():
    matrix = poses.matrix_from_6d(np.array([2.0, 0.1, 0, 0.3, 1.5, 0.2]))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0)


def test_interpolation_does_not_jump_at_half_a_turn():
    start, end = pose([0, 0, 0], [0, 0, np.pi - 0.05]), pose([1, 0, 0], [0, 0, -np.pi + 0.05])
    middle = poses.interpolate(start, end, 0.5)
    assert Rotation.from_matrix(middle[:3, :3]).magnitude() == pytest.approx(np.pi)
    assert middle[0, 3] == pytest.approx(0.5)


def test_quaternions_are_xyzw():
    quaternion = Rotation.from_euler("z", 0.4).as_quat()
    matrix = poses.matrix_from_quaternion(np.zeros(3), quaternion)
    assert matrix[1, 0] == pytest.approx(np.sin(0.4))
    np.testing.assert_allclose(poses.quaternion_from_matrix(matrix), quaternion)


def test_smoothing_averages_three_steps_with_the_ends_repeated():
    chunk = np.array([[0.0], [3.0], [6.0], [0.0]])
    np.testing.assert_allclose(poses.smooth(chunk, 3)[:, 0], [1.0, 3.0, 3.0, 2.0])
    np.testing.assert_array_equal(poses.smooth(chunk, 1), chunk)
    with pytest.raises(ValueError, match="window 2 is even"):
        poses.smooth(chunk, 2)


@pytest.mark.parametrize("representation", poses.REPRESENTATIONS)
def test_poses_written_against_a_base_come_back(representation):
    chunk = np.stack([pose([0.1 * i, 0.2, -0.1], [0.3 * i, -0.4, 0.1]) for i in range(5)])
    base = pose([0.3, -0.2, 0.5], [0.1, 0.9, -0.3])
    written = poses.express(chunk, base, representation)
    np.testing.assert_allclose(poses.restore(written, base, representation), chunk, atol=1e-12)


def test_unknown_representations_are_refused():
    with pytest.raises(ValueError, match="unknown representation 'relativ'.*delta"):
        poses.express(np.eye(4)[None], np.eye(4), "relativ")


@pytest.mark.parametrize("end", [[0, 0, 2], [0, 3, 0], [0, 0, -1]])
def test_a_rotation_between_directions_takes_one_to_the_other_even_when_they_are_opposite(end):
    rotation = poses.rotation_between(np.array([0.0, 0.0, 0.5]), np.array(end, dtype=float))
    np.testing.assert_allclose(rotation @ [0, 0, 1], end / np.linalg.norm(end), atol=1e-9)
