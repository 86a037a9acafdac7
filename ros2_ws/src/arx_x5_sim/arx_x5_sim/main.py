# SPDX-License-Identifier: Apache-2.0
"""Executable `sim`: world, camera and the arm's driver in one process."""

import os
import sys
from contextlib import suppress

from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node

from arx_x5_driver.node import ArxX5Driver
from arx_x5_sim.camera_node import SimCamera
from arx_x5_sim.world.mujoco_arm import MujocoArm
from arx_x5_sim.world.scene import build_model
from arx_x5_sim.world.simulation import Simulation
from uva_node_utils.lifecycle import run

SWITCH_INTERVAL_S = 0.0005  # 5 ms by default, which is a whole period of the driver
REALTIME_PRIORITY = 1  # below that of the driver's loop


def main() -> None:
    """Run the simulation until SIGINT or SIGTERM."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # All threads alike, because they share Python's lock: one that another process pushes aside while it has the
    # lock holds up the driver's loop. Measured on two busy cores, 99th percentile of its period error: 1 ms, not 20.
    with suppress(PermissionError):  # only some users may ask for it
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REALTIME_PRIORITY))
    try:
        model = build_model()
    except FileNotFoundError as error:
        sys.exit(f"cannot simulate: {error}")
    simulation = Simulation(model)

    def nodes() -> list[Node]:
        # In this order: the camera node resets the world to its seed, and only then may a driver look at the arm.
        made = [SimCamera(simulation), ArxX5Driver(MujocoArm(simulation))]
        simulation.start()
        return made

    try:
        # Two threads, so that stopping the driver never waits for another service.
        run(nodes, executor_factory=lambda: MultiThreadedExecutor(num_threads=2))
    finally:
        simulation.stop()
