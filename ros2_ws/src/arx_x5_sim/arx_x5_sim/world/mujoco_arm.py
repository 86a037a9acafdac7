# SPDX-License-Identifier: Apache-2.0
"""The simulated arm as the driver sees it. Imports no ROS."""

from __future__ import annotations

from arx_x5_driver.arm import ArmCommand, ArmState
from arx_x5_sim.world.simulation import Simulation
from arx_x5_sim.world.world import ArmReading


def arm_state(stamp_s: float, reading: ArmReading) -> ArmState:
    """Convert a reading of the world at `stamp_s` into what the driver's arms report."""
    return ArmState(
        stamp_s=stamp_s,
        position=reading.position,
        velocity=reading.velocity,
        effort=reading.effort,
        gripper_width=reading.gripper_width,
        gripper_velocity=reading.gripper_velocity,
        gripper_effort=reading.gripper_effort,
    )


class MujocoArm:
    """Be an `arx_x5_driver.arm.Arm` in a running simulation."""

    def __init__(self, simulation: Simulation) -> None:
        """Use a simulation, which the caller starts and stops."""
        self._simulation = simulation

    def connect(self) -> None:
        """Do nothing: a simulated arm is always there."""

    def read(self) -> ArmState:
        """Return the state after the last physics step; its stamp stands still when the simulation does."""
        stamp_s, reading = self._simulation.read()
        return arm_state(stamp_s, reading)

    def command(self, command: ArmCommand) -> None:
        """Set the servos' positions, with the velocities as feed-forward."""
        self._simulation.command(command.position, command.gripper_width, command.velocity)

    def close(self) -> None:
        """Do nothing: the servos hold what they held last."""
