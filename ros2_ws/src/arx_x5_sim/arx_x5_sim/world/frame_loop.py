# SPDX-License-Identifier: Apache-2.0
"""A thread that renders a running simulation at a fixed rate. Imports no ROS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from arx_x5_sim.world.camera import Camera, Image
from arx_x5_sim.world.simulation import Simulation
from arx_x5_sim.world.world import World


@dataclass(frozen=True)
class Frame:
    """An image and the world that it shows. Both are overwritten after the call that hands them over."""

    image: Image  # (H, W, 3) RGB
    world: World
    stamp_s: float  # on `time.monotonic()`'s clock


class FrameLoop:
    """Own a camera in a thread, and call back with each frame. The physics does not wait for it."""

    def __init__(
        self,
        simulation: Simulation,
        width: int,
        height: int,
        rate_hz: float,
        on_frame: Callable[[Frame], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        """Prepare the thread.

        Args:
            simulation: what to render.
            width: columns of the images.
            height: rows of the images.
            rate_hz: images a second; those whose time has passed are left out.
            on_frame: called from the loop's thread with each frame.
            on_error: called from the loop's thread with the exception that ended it.
        """
        self._simulation = simulation
        self._size = (width, height)
        self._period_s = 1.0 / rate_hz
        self._on_frame = on_frame
        self._on_error = on_error
        self._stop = threading.Event()
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)

    def start(self) -> None:
        """Start the thread. A loop is started only once.

        Raises:
            RenderingUnavailableError: the camera cannot be opened.
        """
        self._thread.start()
        self._opened.result()

    def stop(self) -> None:
        """Finish the present frame, end the thread and free the camera. May be called twice."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            camera = Camera(self._simulation.model, *self._size)
        except Exception as error:  # the thread's edge: `start` raises it
            self._opened.set_exception(error)
            return
        self._opened.set_result(None)
        try:
            self._loop(camera)
        except Exception as error:  # the thread's edge: the owner gets any error
            self._on_error(error)
        finally:
            camera.close()

    def _loop(self, camera: Camera) -> None:
        view = World(self._simulation.model)
        deadline_s = time.monotonic()
        while not self._stop.wait(max(0.0, deadline_s - time.monotonic())):
            stamp_s = self._simulation.copy_to(view)
            self._on_frame(Frame(camera.render(view), view, stamp_s))
            missed = max(0, int((time.monotonic() - deadline_s) / self._period_s))
            deadline_s += (missed + 1) * self._period_s
