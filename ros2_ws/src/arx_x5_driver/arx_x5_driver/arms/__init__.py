# SPDX-License-Identifier: Apache-2.0
"""The arms that the driver brings along: the real one through the SDK, and a loopback."""

from arx_x5_driver.arms.loopback import LoopbackArm
from arx_x5_driver.arms.sdk import Arx5SdkArm

__all__ = ["Arx5SdkArm", "LoopbackArm"]
