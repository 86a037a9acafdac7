# SPDX-License-Identifier: Apache-2.0
"""Small processes to supervise."""

import sys
import time
from collections.abc import Callable

import pytest

from uva_bringup.supervisor import Command


@pytest.fixture
def python() -> Callable[..., Command]:
    """Return a function that makes a command of Python code; without site, so that it starts quickly."""

    def make(label: str, code: str, linger_s: float = 0.0) -> Command:
        return Command(label, [sys.executable, "-I", "-S", "-c", code], linger_s)

    return make


@pytest.fixture
def eventually() -> Callable[..., bool]:
    """Return a function that waits for a condition."""

    def wait(condition: Callable[[], bool], timeout_s: float = 40.0) -> bool:
        deadline = time.monotonic() + timeout_s
        while not (reached := condition()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return reached

    return wait
