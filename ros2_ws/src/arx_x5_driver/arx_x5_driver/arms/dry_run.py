# SPDX-License-Identifier: Apache-2.0
"""An arm that is read but never commanded."""

from __future__ import annotations

from arx_x5_driver.arm import Arm, ArmCommand, ArmState


class DryRunArm:
    """A wrapper that sends nothing to another arm.

    A real arm has torque nevertheless: from `connect` on the SDK damps it and compensates gravity. It can be moved by
    hand, and drifts if the SDK's model of the arm or its base is wrong.
    """

    def __init__(self, arm: Arm) -> None:
        """Wrap an arm."""
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
