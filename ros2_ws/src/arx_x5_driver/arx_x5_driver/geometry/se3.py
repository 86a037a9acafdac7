# SPDX-License-Identifier: Apache-2.0
"""Poses and unit quaternions (x, y, z, w) for the control loop.

scipy's `Rotation` does the same in fewer lines, but a call takes about 10 us, and the loop makes dozens in a period;
these take about 1 us. The tests compare them with scipy.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from arx_x5_driver.array import Array

_NEARLY_PARALLEL = 0.9995  # above this dot product slerp's sines lose precision, and lerp is exact to 1e-7


class Pose(NamedTuple):
    """A rigid transform: position `(3,)` [m] and unit quaternion x, y, z, w `(4,)`."""

    position: Array
    quaternion: Array

    def distance(self, other: Pose) -> tuple[float, float]:
        """Return the distance to another pose: metres and radians."""
        dx, dy, dz = (other.position - self.position).tolist()
        return math.sqrt(dx * dx + dy * dy + dz * dz), angle_between(self.quaternion, other.quaternion)

    def interpolate(self, other: Pose, fraction: float) -> Pose:
        """Return the pose at a fraction (0..1) of the path to another: straight in position, slerp in rotation."""
        position = self.position + (other.position - self.position) * fraction
        return Pose(position, slerp(self.quaternion, other.quaternion, fraction))


def normalized(quaternion: Array) -> Array:
    """Return the quaternion `(4,)` scaled to unit length; it must not be zero."""
    x, y, z, w = quaternion.tolist()
    norm = math.sqrt(x * x + y * y + z * z + w * w)
    return np.array((x / norm, y / norm, z / norm, w / norm))


def angle_between(first: Array, second: Array) -> float:
    """Return the angle [rad, 0..pi] of the rotation that leads from one unit quaternion to the other."""
    x, y, z = rotation_vector(first, second).tolist()
    return math.sqrt(x * x + y * y + z * z)


def rotation_vector(first: Array, second: Array) -> Array:
    """Return the rotation vector `(3,)` [rad], in the parent frame, from unit quaternion `first` to `second`."""
    ax, ay, az, aw = first.tolist()
    bx, by, bz, bw = second.tolist()
    # second * conjugate(first)
    x = -bw * ax + bx * aw - by * az + bz * ay
    y = -bw * ay + by * aw - bz * ax + bx * az
    z = -bw * az + bz * aw - bx * ay + by * ax
    w = bw * aw + bx * ax + by * ay + bz * az
    if w < 0.0:
        x, y, z, w = -x, -y, -z, -w
    sine = math.sqrt(x * x + y * y + z * z)
    scale = 2.0 * math.atan2(sine, w) / sine if sine > 1e-12 else 2.0
    return np.array((x * scale, y * scale, z * scale))


def slerp(first: Array, second: Array, fraction: float) -> Array:
    """Interpolate between unit quaternions along the shorter arc."""
    ax, ay, az, aw = first.tolist()
    bx, by, bz, bw = second.tolist()
    dot = ax * bx + ay * by + az * bz + aw * bw
    if dot < 0.0:
        bx, by, bz, bw, dot = -bx, -by, -bz, -bw, -dot
    if dot > _NEARLY_PARALLEL:
        p, q = 1.0 - fraction, fraction
    else:
        angle = math.acos(dot)
        p = math.sin((1.0 - fraction) * angle) / math.sin(angle)
        q = math.sin(fraction * angle) / math.sin(angle)
    return normalized(np.array((p * ax + q * bx, p * ay + q * by, p * az + q * bz, p * aw + q * bw)))


def quaternion_from_rpy(roll: float, pitch: float, yaw: float) -> Array:
    """Return the unit quaternion of roll, pitch, yaw [rad] about the fixed axes x, y, z in this order."""
    cr, sr = math.cos(roll / 2), math.sin(roll / 2)
    cp, sp = math.cos(pitch / 2), math.sin(pitch / 2)
    cy, sy = math.cos(yaw / 2), math.sin(yaw / 2)
    return np.array(
        (
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
            cr * cp * cy + sr * sp * sy,
        )
    )


def rpy_from_quaternion(quaternion: Array) -> tuple[float, float, float]:
    """Return roll, pitch, yaw [rad] about the fixed axes x, y, z of a unit quaternion."""
    x, y, z, w = quaternion.tolist()
    sine_pitch = 2.0 * (w * y - z * x)
    cosine_pitch = math.hypot(1.0 - 2.0 * (y * y + z * z), 2.0 * (w * z + x * y))
    pitch = math.atan2(sine_pitch, cosine_pitch)
    if cosine_pitch < 1e-9:
        # Pointing straight up or down: only the sum or difference of roll and yaw is defined; choose yaw 0.
        return 2.0 * math.atan2(x, w), pitch, 0.0
    roll = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    yaw = math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    return roll, pitch, yaw
