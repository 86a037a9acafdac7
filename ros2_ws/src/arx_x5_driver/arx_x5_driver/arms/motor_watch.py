# SPDX-License-Identifier: Apache-2.0
"""Find motors that no longer answer, from their measurements alone.

The SDK stamps its state in every cycle and keeps the old numbers of a motor that does not answer. But a motor that
moves cannot show the same position, velocity and torque again and again; a motor at rest can.
"""

from __future__ import annotations

import numpy as np

from arx_x5_driver.arm import JOINT_COUNT
from arx_x5_driver.array import Array

MOTOR_COUNT = JOINT_COUNT + 1
"""The joints' and the gripper's."""

_MOVING_RAD_S = 0.1  # at this speed a motor passes the resolution of its encoder in a few milliseconds
_STARTING_S = 0.05  # friction may hold a motor still for so long


class MotorWatch:
    """Watch all motors for changes of their measurements."""

    def __init__(self) -> None:
        """Start with all motors at rest."""
        self._reading: Array = np.full((MOTOR_COUNT, 3), np.nan)
        self._changed_s: Array = np.zeros(MOTOR_COUNT)
        self._moving_since_s: Array = np.full(MOTOR_COUNT, np.inf)
        self._heard_s = -np.inf

    def commanded(self, speeds: Array, now_s: float) -> None:
        """Note the commanded speeds of the motors `(7,)` [rad/s]."""
        moving = np.abs(speeds) > _MOVING_RAD_S
        self._moving_since_s = np.where(moving, np.minimum(self._moving_since_s, now_s), np.inf)

    def heard_s(self, reading: Array, stamp_s: float, now_s: float) -> float:
        """Return when the motor that has been silent for longest was last heard; it never goes back.

        Args:
            reading: position, velocity and torque of all motors `(7, 3)`.
            stamp_s: time of the reading according to the SDK [s].
            now_s: present time on the same clock [s].
        """
        self._changed_s[(reading != self._reading).any(axis=1)] = stamp_s
        self._reading = reading
        silent_since_s = self._changed_s[now_s - self._moving_since_s > _STARTING_S]
        self._heard_s = max(self._heard_s, float(silent_since_s.min(initial=stamp_s)))
        return self._heard_s
