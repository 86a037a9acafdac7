# SPDX-License-Identifier: Apache-2.0
"""Measured delays: outliers and warm-up do not count, and the arm's own lag is made up for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from arx_x5_driver.arms.loopback import LoopbackArm


def test_the_delay_of_chunks_is_reported(make_rig: Any, make_chunk: Any) -> None:
    rig = make_rig()
    rig.enable()
    for sequence in range(10):
        chunk = make_chunk(rig.now_s, rig.pose, sequence)
        late_s = 0.9 if sequence < 3 else 0.1
        rig.controller.offer(replace(chunk, stamp_s=rig.now_s - late_s), rig.now_s)
        rig.run(0.1)
    assert rig.snapshot().chunk_delay_s == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize("lag_s", [0.0, 0.03, 0.08])
def test_the_latency_of_the_arm_is_found(make_rig: Any, make_chunk: Any, lag_s: float) -> None:
    rig = make_rig(action_latency_s=-1.0)
    rig.arm = LoopbackArm(rig.arm.read().position, 0.04, lag_s, clock=lambda: rig.now_s)
    rig.enable()
    start = rig.pose
    for sequence in range(40):
        times_s = rig.now_s + 0.1 * np.arange(1, 17)
        ways = 0.1 * np.sin(1.5 * times_s)[:, np.newaxis] * [0.0, 1.0, 0.0]
        chunk = make_chunk(rig.now_s, start, sequence, times_s=times_s, positions=start.position + ways)
        rig.controller.offer(chunk, rig.now_s)
        rig.run(0.2)
    assert rig.snapshot().action_latency_s == pytest.approx(lag_s, abs=0.01)


def test_a_fixed_latency_stays(make_rig: Any, make_chunk: Any) -> None:
    rig = make_rig(action_latency_s=0.05)
    rig.enable()
    rig.controller.offer(make_chunk(rig.now_s, rig.pose), rig.now_s)
    rig.run(1.0)
    assert rig.snapshot().action_latency_s == 0.05
