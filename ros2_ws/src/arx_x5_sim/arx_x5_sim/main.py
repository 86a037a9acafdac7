# SPDX-License-Identifier: Apache-2.0
"""Executable `sim`: world, camera and the arm's driver in one process."""

import os
import sys
from contextlib import suppress

from uva_node_utils.process import prepare_process

SWITCH_INTERVAL_S = 0.0005  # 5 ms by default, which is a whole period of the driver
REALTIME_PRIORITY = 1  # below that of the driver's loop


def main() -> None:
    """Run the simulation until SIGINT or SIGTERM."""
    prepare_process()  # first, because the imports take seconds
    from rclpy.executors import MultiThreadedExecutor

    from arx_x5_driver.node import EXECUTOR_THREADS, ArxX5Driver
    from arx_x5_sim.camera_node import SimCamera
    from arx_x5_sim.tasks.push.scene import build_push_model
    from arx_x5_sim.tasks.push.task import place
    from arx_x5_sim.world.mujoco_arm import MujocoArm
    from arx_x5_sim.world.simulation import Simulation
    from uva_node_utils.lifecycle import run

    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # All threads get the same priority, because they share Python's lock: one that another process preempts while it
    # has the lock delays the driver's loop. Measured on two busy cores, 99th percentile of its period error: 1 ms
    # instead of 20.
    with suppress(PermissionError):  # not every user may
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REALTIME_PRIORITY))
    try:
        model = build_push_model()
    except FileNotFoundError as error:
        sys.exit(f"cannot simulate: {error}")
    simulation = Simulation(model, place)

    def nodes() -> list[SimCamera | ArxX5Driver]:
        # In this order: the camera node resets the world to its seed, before the driver reads the arm.
        made = [SimCamera(simulation), ArxX5Driver(MujocoArm(simulation))]
        simulation.start()
        return made

    try:
        # One thread more than the driver needs, so that stopping it never waits for a reset.
        run(nodes, executor_factory=lambda: MultiThreadedExecutor(num_threads=EXECUTOR_THREADS + 1))
    finally:
        simulation.stop()
