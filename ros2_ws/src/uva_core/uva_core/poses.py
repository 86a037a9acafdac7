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


def matrix_from_quaternion(position: Array, quaternion: Array) -> Array:
    """(..., 3) m and (..., 4) xyzw -> (..., 4, 4)."""
    return _matrix(position, Rotation.from_quat(np.reshape(quaternion, (-1, 4))))


def matrix_from_rotation_vector(position: Array, rotation_vector: Array) -> Array:
    """(..., 3) m and (..., 3) rad -> (..., 4, 4)."""
    return _matrix(position, Rotation.from_rotvec(np.reshape(rotation_vector, (-1, 3))))


def _matrix(position: Array, rotation: Rotation) -> Array:
    position = np.asarray(position, dtype=np.float64)
    pose = np.zeros((*position.shape[:-1], 4, 4))
    pose[..., :3, :3] = rotation.as_matrix().reshape(*position.shape[:-1], 3, 3)
    pose[..., :3, 3] = position
    pose[..., 3, 3] = 1.0
    return pose


def quaternion_from_matrix(pose: Array) -> Array:
    """(..., 4, 4) -> (..., 4) xyzw."""
    rotation = Rotation.from_matrix(np.reshape(pose[..., :3, :3], (-1, 3, 3)))
    return np.asarray(rotation.as_quat()).reshape(*pose.shape[:-2], 4)


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
    return np.concatenate([pose[..., :3, 3], rotation_6d(pose), np.asarray(width)[..., None]], axis=-1)


def decode(vector: Array) -> tuple[Array, Array]:
    """(..., 10) -> poses (..., 4, 4) and gripper widths (...) m. Inverse of `encode`."""
    vector = np.asarray(vector, dtype=np.float64)
    pose = np.zeros((*vector.shape[:-1], 4, 4))
    pose[..., :3, :3] = matrix_from_6d(vector[..., 3:9])
    pose[..., :3, 3] = vector[..., :3]
    pose[..., 3, 3] = 1.0
    return pose, vector[..., 9]


def interpolate(start: Array, end: Array, fraction: float) -> Array:
    """Pose between two (4, 4) poses: linear in position, slerp in rotation. `fraction` in [0, 1]."""
    delta = Rotation.from_matrix(start[:3, :3].T @ end[:3, :3]).as_rotvec()
    pose = np.eye(4)
    pose[:3, :3] = start[:3, :3] @ Rotation.from_rotvec(fraction * delta).as_matrix()
    pose[:3, 3] = (1 - fraction) * start[:3, 3] + fraction * end[:3, 3]
    return pose


def smooth(chunk: Array, window: int) -> Array:
    """Moving average over the steps of a chunk (T, D), ends repeated; `window` odd, 1 changes nothing.

    Raises:
        ValueError: an even window.
    """
    if window % 2 == 0:
        raise ValueError(f"smoothing window {window} is even")
    half = window // 2
    padded = np.concatenate([chunk[:1].repeat(half, 0), chunk, chunk[-1:].repeat(half, 0)])
    return np.stack([padded[i : i + len(chunk)] for i in range(window)]).mean(axis=0)
