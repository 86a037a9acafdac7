# SPDX-License-Identifier: Apache-2.0
"""A figure-eight across the table, and the chunks that a policy would make of it. Imports no simulator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from arx_x5_driver.array import Array
from arx_x5_driver.chunk import Chunk

STEPS = 16
STEP_S = 0.1


@dataclass(frozen=True)
class FigureEight:
    """A figure-eight, during which tool and gripper turn and open to and fro.

    Attributes:
        center: its middle (3,) [m].
        quaternion: orientation of the tool in the middle (4,) xyzw.
        width: how far it goes along y and z from there [m].
        period_s: time for all of it.
        turn_rad: how far the tool turns about the vertical.
        gripper_m: middle and amplitude of the gripper's opening.
    """

    center: tuple[float, ...]
    quaternion: tuple[float, ...]
    width: tuple[float, float] = (0.12, 0.05)
    period_s: float = 6.0
    turn_rad: float = 0.3
    gripper_m: tuple[float, float] = (0.03, 0.01)

    def at(self, times_s: Array) -> tuple[Array, Array, Array]:
        """Return positions (N, 3) [m], quaternions xyzw (N, 4) and gripper widths (N,) [m] at times (N,)."""
        angle = 2.0 * np.pi * np.asarray(times_s) / self.period_s
        offset = np.stack([0.0 * angle, self.width[0] * np.sin(angle), self.width[1] * np.sin(2.0 * angle)], axis=-1)
        turns = Rotation.from_euler("z", self.turn_rad * np.sin(angle)[:, np.newaxis])
        quaternions = (turns * Rotation.from_quat(self.quaternion)).as_quat()
        return np.array(self.center) + offset, quaternions, self.gripper_m[0] + self.gripper_m[1] * np.sin(angle)

    def chunk(self, sequence: int, observed_s: float, offset: Array) -> Chunk:
        """Return the chunk of an observation, all of it beside the truth by an offset (3,) [m]."""
        times_s: Array = observed_s + STEP_S * np.arange(1.0, STEPS + 1.0, dtype=np.float64)
        positions, quaternions, widths = self.at(times_s)
        return Chunk(sequence, "base_link", observed_s, times_s, positions + offset, quaternions, widths)
