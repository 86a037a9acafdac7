# SPDX-License-Identifier: Apache-2.0
"""Inference off the executor's thread: the newest request is worked on, older ones are forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Worker:
    """Runs `job` in its own thread whenever asked; asking again while it runs leads to one more run."""

    def __init__(self, job: Callable[[Worker], None], failed: Callable[[Exception], None]) -> None:
        """Start the thread. `job` gets this worker; `failed` gets what it raises, in the worker's thread."""
        self._job, self._failed = job, failed
        self._wanted = threading.Event()
        self._stopping = False
        self._gate = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Ask for a run. Returns at once."""
        self._wanted.set()

    def deliver(self, give: Callable[[], None]) -> None:
        """Call `give` with a job's result, unless told to stop: it never runs once `stop` has returned."""
        with self._gate:
            if not self._stopping:
                give()

    def stop(self) -> None:
        """Let a running job come to nothing, then end. Waits for a result being given, not for the job."""
        with self._gate:
            self._stopping = True
        self._wanted.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end after `stop`. Returns whether the thread has ended in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._stopping:
                return
            try:
                self._job(self)
            except Exception as error:  # the thread must outlive a bad input
                if not self._stopping:
                    self._failed(error)
