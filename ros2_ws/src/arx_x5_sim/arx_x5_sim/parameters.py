# SPDX-License-Identifier: Apache-2.0
"""Parameters of the node `sim_camera`."""

from __future__ import annotations

from dataclasses import dataclass

from arx_x5_sim.world.scene import RENDER_SIZE_MAX_PX
from uva_node_utils.specs import param


@dataclass(frozen=True)
class SimCameraParameters:
    """See each parameter's description."""

    seed: int = param(0, "Seed of the world that the simulation starts with.", low=0)
    image_width: int = param(128, "Columns of the images.", low=16, high=RENDER_SIZE_MAX_PX)
    image_height: int = param(128, "Rows of the images.", low=16, high=RENDER_SIZE_MAX_PX)
    rate_hz: float = param(20.0, "Images and world states a second [Hz].", low=0.1, high=200.0)
