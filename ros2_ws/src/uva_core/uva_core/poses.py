# SPDX-License-Identifier: Apache-2.0
"""Poses as the model sees them: position 3, rotation 6-D, gripper width 1 (UMI, Chi et al. 2024).

Everywhere: metres, radians, quaternions (x, y, z, w), homogeneous matrices (..., 4, 4).
The 6-D rotation is the first two rows of the matrix (Zhou et al. 2019).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]
POSE_DIM = 10  # position 3, rotation 6, gripper width 1
REPRESENTATIONS = ("abs", "rel", "relative", "delta")  # how poses can be written against a base pose, see `express`


def matrix_from_quaternion(position: Array, quaternion: Array) -> Array:
    """(..., 3) m and (..., 4) xyzw -> (..., 4, 4)."""
    return _matrix(position, Rotation.from_quat(np.reshape(quaternion, (-1, 4))))


def matrix_from_rotation_vector(position: Array, rotation_vector: Array) -> Array:
    """(..., 3) m and (..., 3) rad -> (..., 4, 4)."""
    return _matrix(position, Rotation.from_rotvec(np.reshape(rotation_vector, (-1, 3))))


def _matrix(position: Array, rotation: Rotation) -> Array:
    position = np.asarray(position, dtype=np.float64)
    return _from_parts(position, rotation.as_matrix().reshape(*position.shape[:-1], 3, 3))


def _from_parts(position: Array, rotation: Array) -> Array:
    """(..., 3) and (..., 3, 3) -> (..., 4, 4)."""
    pose = np.zeros((*position.shape[:-1], 4, 4))
    pose[..., :3, :3] = rotation
    pose[..., :3, 3] = position
    pose[..., 3, 3] = 1.0
    return pose


def quaternion_from_matrix(pose: Array) -> Array:
    """(..., 4, 4) -> (..., 4) xyzw."""
    return np.asarray(_rotation(pose).as_quat()).reshape(*pose.shape[:-2], 4)


def from_vector(vector: Array) -> Array:
    """(..., 6) position m, rotation vector rad -> (..., 4, 4)."""
    return matrix_from_rotation_vector(vector[..., :3], vector[..., 3:])


def to_vector(pose: Array) -> Array:
    """(..., 4, 4) -> (..., 6) position m, rotation vector rad. Inverse of `from_vector`."""
    rotation_vector = np.asarray(_rotation(pose).as_rotvec()).reshape(*pose.shape[:-2], 3)
    return np.concatenate([pose[..., :3, 3], rotation_vector], axis=-1)


def _rotation(pose: Array) -> Rotation:
    return Rotation.from_matrix(np.reshape(pose[..., :3, :3], (-1, 3, 3)))


def rotation_between(start: Array, end: Array) -> Array:
    """Shortest rotation (3, 3) that takes the direction `start` (3,) to the direction `end` (3,)."""
    return np.asarray(Rotation.align_vectors(end, start)[0].as_matrix())


def inverse(pose: Array) -> Array:
    """Inverse of rigid transforms (..., 4, 4)."""
    result = np.zeros_like(pose)
    rotation_t = np.swapaxes(pose[..., :3, :3], -1, -2)
    result[..., :3, :3] = rotation_t
    result[..., :3, 3] = -np.einsum("...ij,...j->...i", rotation_t, pose[..., :3, 3])
    result[..., 3, 3] = 1.0
    return result


def relative_to(base: Array, pose: Array) -> Array:
    """inverse(base) @ pose, both (..., 4, 4): UMI's `relative` representation."""
    return inverse(base) @ pose


def express(pose: Array, base: Array, representation: str) -> Array:
    """Write poses against a base pose.

    Args:
        pose: (T, 4, 4).
        base: (4, 4); for `relative` and `rel` also one for each pose, (T, 4, 4).
        representation: `abs`: as they are; `relative`: inverse(base) @ pose (UMI); `rel`: difference of positions, and
            rotation pose @ inverse(base), both along the base frame's axes; `delta`: `rel` of each to the one before.

    Returns:
        (T, 4, 4).

    Raises:
        ValueError: unknown representation.
    """
    _check_representation(representation)
    if representation == "abs":
        return pose
    if representation == "relative":
        return relative_to(base, pose)
    if representation == "delta":
        base = np.concatenate([base[None], pose[:-1]])
    rotation = pose[..., :3, :3] @ np.swapaxes(base[..., :3, :3], -1, -2)
    return _from_parts(pose[..., :3, 3] - base[..., :3, 3], rotation)


def restore(pose: Array, base: Array, representation: str) -> Array:
    """Inverse of `express`, with the same arguments. With `rel` it applies increments to poses.

    Raises:
        ValueError: unknown representation.
    """
    _check_representation(representation)
    if representation == "abs":
        return pose
    if representation == "relative":
        return base @ pose
    if representation == "delta":
        reached = [base]
        for increment in pose:
            reached.append(restore(increment, reached[-1], "rel"))
        return np.stack(reached[1:])
    return _from_parts(pose[..., :3, 3] + base[..., :3, 3], pose[..., :3, :3] @ base[..., :3, :3])


def _check_representation(representation: str) -> None:
    if representation not in REPRESENTATIONS:
        raise ValueError(f"unknown representation '{representation}'; choose one of: {', '.join(REPRESENTATIONS)}")


def rotation_6d(pose: Array) -> Array:
    """(..., 4, 4) -> (..., 6)."""
    return pose[..., :2, :3].reshape(*pose.shape[:-2], 6)


def matrix_from_6d(rotation: Array) -> Array:
    """(..., 6), not necessarily orthonormal -> (..., 3, 3) by Gram-Schmidt, rows first."""
    a, b = rotation[..., :3], rotation[..., 3:]
    first = a / np.linalg.norm(a, axis=-1, keepdims=True)
    b = b - np.sum(first * b, axis=-1, keepdims=True) * first
    second = b / np.linalg.norm(b, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-2)


def encode(pose: Array, width: Array) -> Array:
    """Poses (..., 4, 4) and gripper widths (...) m -> (..., 10)."""
    return np.concatenate([encode_pose(pose), np.asarray(width)[..., None]], axis=-1)


def encode_pose(pose: Array) -> Array:
    """(..., 4, 4) -> (..., 9) position 3, rotation 6-D."""
    return np.concatenate([pose[..., :3, 3], rotation_6d(pose)], axis=-1)


def decode(vector: Array) -> tuple[Array, Array]:
    """(..., 10) -> poses (..., 4, 4) and gripper widths (...) m. Inverse of `encode`."""
    vector = np.asarray(vector, dtype=np.float64)
    return decode_pose(vector[..., :9]), vector[..., 9]


def decode_pose(vector: Array) -> Array:
    """(..., 9) -> (..., 4, 4). Inverse of `encode_pose`."""
    return _from_parts(vector[..., :3], matrix_from_6d(vector[..., 3:]))


def interpolate(start: Array, end: Array, fraction: float) -> Array:
    """Pose between two (4, 4) poses: linear in position, slerp in rotation. `fraction` in [0, 1]."""
    delta = Rotation.from_matrix(start[:3, :3].T @ end[:3, :3]).as_rotvec()
    pose = np.eye(4)
    pose[:3, :3] = start[:3, :3] @ Rotation.from_rotvec(fraction * delta).as_matrix()
    pose[:3, 3] = (1 - fraction) * start[:3, 3] + fraction * end[:3, 3]
    return pose


def smooth(chunk: Array, window: int) -> Array:
    """Average each step of a chunk (T, D) with its neighbours, ends repeated; `window` odd, 1 changes nothing.

    Raises:
        ValueError: an even window.
    """
    if window % 2 == 0:
        raise ValueError(f"smoothing window {window} is even")
    half = window // 2
    padded = np.concatenate([chunk[:1].repeat(half, 0), chunk, chunk[-1:].repeat(half, 0)])
    return np.stack([padded[i : i + len(chunk)] for i in range(window)]).mean(axis=0)
