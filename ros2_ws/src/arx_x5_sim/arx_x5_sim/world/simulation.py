# SPDX-License-Identifier: Apache-2.0
"""One world in real time. Imports no ROS."""

from __future__ import annotations

import math
import threading
import time

import mujoco
import numpy as np
from numpy.typing import NDArray

from arx_x5_sim.world.scene import TIMESTEP_S
from arx_x5_sim.world.world import ArmReading, World

Array = NDArray[np.float64]

CATCH_UP_S = 0.048  # longer hiccups are not caught up with: the physics would take over the CPU
IDLE_S = 0.1  # an arm that got no command for this long is not being driven: drivers run at 20 Hz or more


class Simulation:
    """Runs a world in a thread of its own, at the speed of `time.monotonic()`, and shows it to other threads.

    All methods may be called from any thread and return within about a tenth of a millisecond, except `reset`,
    `wait_until_idle` and `stop`.
    """

    def __init__(self, model: mujoco.MjModel, seed: int = 0) -> None:
        """Makes a world that stands still until `start`."""
        self.model = model
        self._world = _world_of(model, seed)
        self._lock = threading.Lock()
        self._stamp_s = time.monotonic()
        self._commanded_s = -math.inf
        self._lost_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="physics", daemon=True)

    @property
    def lost_s(self) -> float:
        """How much time the world has stood still because the machine was too slow."""
        return self._lost_s

    def start(self) -> None:
        """Lets time pass from now on; a simulation runs once in its life."""
        self._stamp_s = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread. May be called before `start`, and twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def reset(self, seed: int) -> None:
        """Replaces the world by that of `seed`, whose servos hold the arm where it starts."""
        world = _world_of(self.model, seed)
        with self._lock:
            self._world = world

    def read(self) -> tuple[float, ArmReading]:
        """Returns the arm's newest state and the time that it is of, on `time.monotonic()`'s clock."""
        with self._lock:
            return self._stamp_s, self._world.arm_reading()

    def command(self, position: Array, gripper_width: float, velocity: Array) -> None:
        """Sets what the servos hold from now on; see `World.set_joint_targets`."""
        with self._lock:
            self._commanded_s = time.monotonic()
            self._world.set_joint_targets(position, gripper_width, velocity)

    def move_block(self, index: int, pose: Array) -> None:
        """Puts a block at x, y, yaw (3,) while time goes on, as somebody's hand might."""
        with self._lock:
            self._world.set_block(index, pose)

    def look(self, view: World) -> float:
        """Makes `view`, a world of the caller's own, look like the present one; returns the time it is of."""
        with self._lock:
            view.show(self._world)
            return self._stamp_s

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Waits until nobody commands the arm any more; returns whether that is so."""
        end_s = time.monotonic() + timeout_s
        while time.monotonic() - self._commanded_s < IDLE_S:
            if time.monotonic() > end_s:
                return False
            time.sleep(0.01)
        return True

    def _run(self) -> None:
        while not self._stop.is_set():
            behind_s = time.monotonic() - self._stamp_s
            excess_s = max(0.0, behind_s - CATCH_UP_S)
            steps = int((behind_s - excess_s) / TIMESTEP_S)
            with self._lock:
                self._world.step(steps)
                self._stamp_s += excess_s + steps * TIMESTEP_S
            self._lost_s += excess_s
            time.sleep(max(0.0, self._stamp_s + TIMESTEP_S - time.monotonic()))


def _world_of(model: mujoco.MjModel, seed: int) -> World:
    world = World(model)
    world.reset(seed)
    return world
