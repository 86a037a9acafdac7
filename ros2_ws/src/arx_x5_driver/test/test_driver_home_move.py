# SPDX-License-Identifier: Apache-2.0
"""The slow move to the home position."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arx_x5_driver.control.state import RequestRefusedError
from arx_x5_driver.rules.chunk_gate import ChunkRejectedError


def test_home_is_slow_and_refuses_chunks(make_rig: Any, make_chunk: Any) -> None:
    rig = make_rig(home_speed_rad_s=0.5, home_position_rad=[0.1, 0.8, 0.9, 0.2, 0.0, 0.0])
    with pytest.raises(RequestRefusedError, match="is stopped"):
        rig.controller.home()
    rig.enable()
    rig.controller.home()
    assert rig.snapshot().reason == "moving to the home position"
    rig.run(0.4)
    with pytest.raises(ChunkRejectedError, match="moving to its home position"):
        rig.controller.offer(make_chunk(rig.now_s, rig.pose), rig.now_s)
    rig.run(1.2)
    assert rig.snapshot().reason == "at the home position"
    rig.controller.offer(make_chunk(rig.now_s, rig.pose, widths=np.full(16, 0.04)), rig.now_s)
    assert rig.snapshot().reason == "executing chunks"
    np.testing.assert_allclose(rig.arm.read().position, [0.1, 0.8, 0.9, 0.2, 0.0, 0.0], atol=2e-3)
    assert max(np.abs(command.velocity).max() for _, command in rig.commands) < 0.51


def test_home_is_refused_while_a_chunk_is_active_and_ended_by_stop(make_rig: Any, make_chunk: Any) -> None:
    rig = make_rig()
    rig.enable()
    rig.controller.offer(make_chunk(rig.now_s, rig.pose), rig.now_s)
    with pytest.raises(RequestRefusedError, match="is active"):
        rig.controller.home()
    rig.run(2.0)
    rig.controller.home()
    rig.run(0.3)
    rig.controller.stop("stop was called")
    rig.run(0.3)
    sent = len(rig.commands)
    rig.run(1.0)
    assert len(rig.commands) == sent
