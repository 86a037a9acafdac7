# SPDX-License-Identifier: Apache-2.0
"""A chunk of end effector poses, with all times on the driver's own clock: who makes it from a message maps them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arx_x5_driver.array import Array


@dataclass(frozen=True)
class Chunk:
    """End effector targets of one prediction, as received (not yet found to be valid).

    Attributes:
        sequence: the policy's count of its chunks.
        frame: the frame of the poses.
        stamp_s: time of the newest observation that the prediction used.
        times_s: when each target is to be reached `(T,)` [s].
        positions: `(T, 3)` [m].
        quaternions: x, y, z, w `(T, 4)`.
        widths: openings of the gripper `(T,)` [m].
    """

    sequence: int
    frame: str
    stamp_s: float
    times_s: Array
    positions: Array
    quaternions: Array
    widths: Array

    def __post_init__(self) -> None:
        for name, columns in (("times_s", 0), ("positions", 3), ("quaternions", 4), ("widths", 0)):
            array = np.array(getattr(self, name), dtype=np.float64)
            array = array.reshape(-1, columns) if columns else array.reshape(-1)
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.times_s)
