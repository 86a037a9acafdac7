# SPDX-License-Identifier: Apache-2.0
"""Renders a running simulation at a fixed rate. Imports no ROS."""

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
    """An image and the world that it shows. Both are the receiver's only during the call."""

    image: Image  # (H, W, 3) RGB
    world: World
    stamp_s: float  # on `time.monotonic()`'s clock


class FrameLoop:
    """A thread that owns a camera and hands out what it sees. It does not hold the physics up."""

    def __init__(
        self,
        simulation: Simulation,
        width: int,
        height: int,
        rate_hz: float,
        on_frame: Callable[[Frame], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        """Prepares the thread.

        Args:
            simulation: What to look at.
            width: Columns of the images.
            height: Rows of the images.
            rate_hz: Images a second; those whose time has passed are left out.
            on_frame: Is called from the loop's thread with each frame.
            on_error: Is called from the loop's thread with the exception that ended it.
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
        """Begins; a loop runs once in its life. Raises `RenderingUnavailableError`."""
        self._thread.start()
        self._opened.result()

    def stop(self) -> None:
        """Lets the present frame be finished, then ends and frees the camera. May be called twice."""
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
        except Exception as error:  # the thread's edge: whoever started it must hear of anything
            self._on_error(error)
        finally:
            camera.close()

    def _loop(self, camera: Camera) -> None:
        view = World(self._simulation.model)
        deadline_s = time.monotonic()
        while not self._stop.wait(max(0.0, deadline_s - time.monotonic())):
            stamp_s = self._simulation.look(view)
            self._on_frame(Frame(camera.render(view), view, stamp_s))
            missed = max(0, int((time.monotonic() - deadline_s) / self._period_s))
            deadline_s += (missed + 1) * self._period_s
