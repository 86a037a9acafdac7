# SPDX-License-Identifier: Apache-2.0
"""An arm that is read but never commanded."""

from __future__ import annotations

from arx_x5_driver.arm import Arm, ArmCommand, ArmState


class DryRunArm:
    """Another arm, to which nothing is sent.

    A real one is not without torque: from `connect` on its SDK damps it and carries its weight, so that it can be led
    by hand, and drifts where the SDK's model of it or of its base is wrong.
    """

    def __init__(self, arm: Arm) -> None:
        self._arm = arm

    def connect(self) -> None:
        """See `Arm`."""
        self._arm.connect()

    def read(self) -> ArmState:
        """See `Arm`."""
        return self._arm.read()

    def command(self, command: ArmCommand) -> None:
        """Drop the command."""

    def close(self) -> None:
        """See `Arm`."""
        self._arm.close()
