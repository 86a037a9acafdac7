# SPDX-License-Identifier: Apache-2.0
"""What a process does before it has a node. No ROS in here, so that it can come before slow imports."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from types import FrameType

DIE_WITH_PARENT = "UVA_DIE_WITH_PARENT"
"""Environment variable. 1: the node is stopped, as by SIGTERM, when the process that started it ends."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def prepare_process() -> None:
    """Exit without a traceback on SIGINT and SIGTERM, and follow the parent process if the environment says so.

    `run` calls it, and replaces the signal handlers once there is a node to shut down. Call it from the main thread.
    """
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _exit)
    wanted = os.environ.get(DIE_WITH_PARENT, "")
    if wanted not in ("", "0", "1"):
        sys.exit(f"{DIE_WITH_PARENT} is '{wanted}': set it to 1, or to 0 for a node that outlives its launcher")
    if wanted == "1":
        _follow_parent()


def _exit(_signum: int, _frame: FrameType | None) -> None:
    # Not SystemExit, which the import that is going on may catch.
    os._exit(0)


def _follow_parent() -> None:
    """Let the kernel send SIGTERM when the parent ends, or more precisely its thread that started this process."""
    if sys.platform != "linux":
        sys.exit(f"{DIE_WITH_PARENT} is 1, but only Linux tells a process that its parent has ended")
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        sys.exit(f"{DIE_WITH_PARENT} is 1, but prctl failed: {os.strerror(ctypes.get_errno())}")
    # A parent that ended before the call above sends nothing any more.
    if os.getppid() != parent:
        sys.exit("the process that started this node has ended, so the node does not start")
