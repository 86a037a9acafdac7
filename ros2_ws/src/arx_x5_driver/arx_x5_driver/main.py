# SPDX-License-Identifier: Apache-2.0
"""Executable `driver`: the node on its own, with the real arm or a loopback."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from uva_node_utils.process import prepare_process

if TYPE_CHECKING:
    from arx_x5_driver.node import ArxX5Driver

SWITCH_INTERVAL_S = 0.0001
"""How long another thread may keep Python's lock while the control loop waits for it [s]. The default, 5 ms, is a
whole period."""

OTHERS_PRIORITY = 1
"""Real-time priority of all other threads, below the loop's. Without one, another process could interrupt a thread that
holds Python's lock, or one of the middleware's, and the loop would wait for it."""

PUBLICATION_MODE = ("RMW_FASTRTPS_PUBLICATION_MODE", "ASYNCHRONOUS")
"""Fast DDS then sends in a thread of its own, and the control loop does not wait for it."""

_THREADS = Path("/proc/self/task")


def main() -> None:
    """Run the driver until SIGINT or SIGTERM."""
    prepare_process()  # first, because the imports take seconds
    from rclpy.executors import MultiThreadedExecutor

    from arx_x5_driver.node import EXECUTOR_THREADS
    from uva_node_utils.lifecycle import run

    os.environ.setdefault(*PUBLICATION_MODE)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    run(make_node, executor_factory=lambda: MultiThreadedExecutor(num_threads=EXECUTOR_THREADS))


def make_node() -> ArxX5Driver:
    """Return the node, in a process that is set up for its control loop."""
    from arx_x5_driver.control.rate import make_realtime
    from arx_x5_driver.node import ArxX5Driver

    node = ArxX5Driver()
    gc.freeze()  # these objects stay: a garbage collection that visits all of them would delay the loop
    if node.realtime_priority:
        # Threads that are started later inherit the priority.
        for thread in _THREADS.iterdir():
            with suppress(ProcessLookupError):
                make_realtime(OTHERS_PRIORITY, int(thread.name))
    return node
