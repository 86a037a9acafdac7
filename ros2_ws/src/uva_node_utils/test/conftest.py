# SPDX-License-Identifier: Apache-2.0
"""A context of its own for every test that has nodes."""

from collections.abc import Iterator

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor


@pytest.fixture
def context() -> Iterator[Context]:
    """Return an initialised context that no other test uses."""
    context = Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


@pytest.fixture
def executor(context: Context) -> Iterator[SingleThreadedExecutor]:
    """Return an executor of that context."""
    executor = SingleThreadedExecutor(context=context)
    yield executor
    executor.shutdown()
