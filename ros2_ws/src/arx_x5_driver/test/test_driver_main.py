# SPDX-License-Identifier: Apache-2.0
"""How the executable sets its process up."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")

from arx_x5_driver import main, node
from arx_x5_driver.control import rate


@pytest.mark.parametrize("priority", [20, 0])
def test_the_process_gives_way_to_others_only_if_the_loop_does(monkeypatch: pytest.MonkeyPatch, priority: int) -> None:
    """A thread of the middleware that is pushed aside would hold up the loop as well."""
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(node, "ArxX5Driver", lambda: SimpleNamespace(realtime_priority=priority))
    monkeypatch.setattr(rate, "make_realtime", lambda *arguments: raised.append(arguments))
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    main.make_node()
    release.set()
    thread.join()
    threads = {os.getpid(), thread.native_id}
    assert threads <= {number for _, number in raised} if priority else not raised
    assert {value for value, _ in raised} <= {main.OTHERS_PRIORITY}
