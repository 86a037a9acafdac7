# SPDX-License-Identifier: Apache-2.0
"""A world that runs in real time. Imports no ROS."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

import mujoco

from arx_x5_driver.array import Array
from arx_x5_sim.world.scene import TIMESTEP_S
from arx_x5_sim.world.world import ArmReading, Placement, World

CATCH_UP_S = 0.048  # the world stands still for the rest of a longer delay: catching up would take the whole CPU
IDLE_S = 0.1  # an arm without a command for this long is not being driven: drivers run at 20 Hz or more


class Simulation:
    """Run a world in a thread of its own, at the speed of `time.monotonic()`, for other threads to use.

    All methods may be called from any thread and return within about a tenth of a millisecond, except `reset`,
    `wait_until_idle` and `stop`.
    """

    def __init__(self, model: mujoco.MjModel, place: Placement, seed: int = 0) -> None:
        """Make a world that stands still until `start`.

        Args:
            model: of the world.
            place: puts the objects of the task where they start.
            seed: of the first layout.
        """
        self.model = model
        self._place = place
        self._world = self._new_world(seed)
        self._lock = threading.Lock()
        self._stamp_s = time.monotonic()
        self._commanded_s = -math.inf
        self._lost_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="physics", daemon=True)

    @property
    def lost_s(self) -> float:
        """Time [s] that the world has stood still because the machine was too slow."""
        return self._lost_s

    def start(self) -> None:
        """Start the thread. A simulation is started only once."""
        self._stamp_s = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End the thread. May be called before `start`, and twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def reset(self, seed: int) -> None:
        """Replace the world by that of `seed`, whose servos hold the arm where it starts."""
        world = self._new_world(seed)
        with self._lock:
            self._world = world

    def read(self) -> tuple[float, ArmReading]:
        """Return the arm's newest state and its time on the clock of `time.monotonic()`."""
        with self._lock:
            return self._stamp_s, self._world.arm_reading()

    def command(self, position: Array, gripper_width: float, velocity: Array) -> None:
        """Set what the servos hold from now on; see `World.set_joint_targets`."""
        with self._lock:
            self._commanded_s = time.monotonic()
            self._world.set_joint_targets(position, gripper_width, velocity)

    def change(self, edit: Callable[[World], None]) -> None:
        """Call `edit` with the world between two physics steps, to move an object as a hand might."""
        with self._lock:
            edit(self._world)

    def copy_to(self, view: World) -> float:
        """Copy where everything is into `view`, a world of the caller's own; return the time of that state."""
        with self._lock:
            view.show(self._world)
            return self._stamp_s

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait until no command comes any more, at most `timeout_s`; return whether that is so."""
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

    def _new_world(self, seed: int) -> World:
        world = World(self.model)
        world.reset(seed, self._place)
        return world
