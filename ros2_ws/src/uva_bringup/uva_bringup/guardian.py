# SPDX-License-Identifier: Apache-2.0
"""End process groups that have outlived the process which started them.

A small process of its own, run as a script: it reads process group ids, one a line, from standard
input. The end of input means that the other process has ended, in whatever way (also by SIGKILL). The
groups that still exist then get SIGTERM, so that an arm is brought to a stop, and SIGKILL after 5 s.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_S = 5.0
POLL_S = 0.1


def main() -> None:
    """Wait for the end of input, then for the end of the groups."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups = {int(line) for line in sys.stdin}
    send(groups, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline and (groups := send(groups, 0)):
        time.sleep(POLL_S)
    send(groups, signal.SIGKILL)


def send(groups: Iterable[int], number: int) -> set[int]:
    """Send a signal to all groups and return those that still exist."""
    existing = set()
    for group in groups:
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):
            continue
        existing.add(group)
    return existing


if __name__ == "__main__":
    main()
