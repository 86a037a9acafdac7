# SPDX-License-Identifier: Apache-2.0
"""Arms: the real one through the SDK, a loopback, and wrappers for any. Only `arm_selection` imports them."""

from arx_x5_driver.arms.dry_run import DryRunArm
from arx_x5_driver.arms.faulty import FaultyArm
from arx_x5_driver.arms.isolated import IsolatedArm
from arx_x5_driver.arms.loopback import LoopbackArm
from arx_x5_driver.arms.sdk import Arx5SdkArm

__all__ = ["Arx5SdkArm", "DryRunArm", "FaultyArm", "IsolatedArm", "LoopbackArm"]
