# SPDX-License-Identifier: Apache-2.0
"""A thread that runs one job on request and keeps at most one further request."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Worker:
    """Run `job` in its own thread on request; requests during a run lead to one more run.

    A job holds `gate` while it delivers its result, and checks `stopped` first: so nothing is delivered once `stop`
    has returned.
    """

    def __init__(self, job: Callable[[Worker], None], failed: Callable[[Exception], None]) -> None:
        """Start the thread. `job` gets this worker; `failed` gets what it raises, in the worker's thread."""
        self._job, self._failed = job, failed
        self._requested = threading.Event()
        self._stopped = False
        self.gate = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def request(self) -> None:
        """Request a run, and return at once."""
        self._requested.set()

    def stop(self) -> None:
        """End after the running job. Wait for a result that is being delivered, but not for the job."""
        with self.gate:
            self._stopped = True
        self._requested.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end after `stop`. Return whether the thread has ended in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            self._requested.wait()
            self._requested.clear()
            if self._stopped:
                return
            try:
                self._job(self)
            except Exception as error:  # the thread must outlive a bad input
                if not self._stopped:
                    self._failed(error)
