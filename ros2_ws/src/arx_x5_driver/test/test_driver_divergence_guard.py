# SPDX-License-Identifier: Apache-2.0
"""The arm is slowed and held while the world diverges from the prediction, as far as that was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arx_x5_driver.control.state import State
from arx_x5_driver.rules.chunk_gate import ChunkRejectedError
from arx_x5_driver.rules.divergence_guard import DivergenceGuard, GuardRules

NOW_S = 5.0


def guard(mode: str) -> DivergenceGuard:
    return DivergenceGuard(GuardRules(mode, slow_from=1.0, hold_from=2.0, hold_s=1.0, timeout_s=0.5, settle_s=1.0))


@pytest.mark.parametrize("mode", ["off", "slow", "hold"])
def test_speed_falls_between_the_thresholds(mode: str) -> None:
    guarded = guard(mode)
    assert guarded.speed_share(NOW_S) == 1.0
    shares = []
    for divergence in (0.0, 1.0, 1.5, 2.0, np.inf, np.nan):
        guarded.report(divergence, NOW_S)
        shares.append(guarded.speed_share(NOW_S))
    assert shares == pytest.approx([1.0] * 6 if mode == "off" else [1.0, 1.0, 0.6, 0.2, 0.2, 0.2])
    assert guarded.newest(NOW_S + 0.4) == np.inf
    assert guarded.speed_share(NOW_S + 0.6) == 1.0, "an old report does not count"
    assert np.isnan(guarded.newest(NOW_S + 0.6))


def test_only_the_mode_hold_gives_up() -> None:
    for mode in ("off", "slow", "hold"):
        guarded = guard(mode)
        guarded.report(2.5, NOW_S)
        assert guarded.gives_up(NOW_S) == (mode == "hold")
        assert guarded.holds(NOW_S + 0.9) == (mode == "hold")
        assert not guarded.holds(NOW_S + 1.1)
        guarded.begin(NOW_S + 0.1)
        assert not guarded.gives_up(NOW_S + 0.2), "what was reported of the last run does not count in the next"


def test_reports_count_once_the_arm_has_followed_chunks_for_a_while() -> None:
    guarded = guard("hold")
    guarded.begin(NOW_S)
    guarded.report(2.5, NOW_S + 0.9)
    assert guarded.speed_share(NOW_S + 1.1) == 1.0
    guarded.report(2.5, NOW_S + 1.1)
    assert guarded.speed_share(NOW_S + 1.2) == pytest.approx(0.2)
    assert guarded.gives_up(NOW_S + 1.2)


def test_thresholds_must_be_in_order() -> None:
    with pytest.raises(ValueError, match="guard_slow_from 2 is not below guard_hold_from 1"):
        GuardRules("slow", 2.0, 1.0, 1.0, 0.5, 1.0)


def test_the_driver_holds_and_takes_chunks_again_later(make_rig: Any, make_chunk: Any) -> None:
    rig = make_rig(guard="hold", guard_hold_from=2.0, guard_hold_s=1.0, guard_settle_s=0.2)
    rig.enable()
    rig.controller.offer(make_chunk(rig.now_s, rig.pose, 1), rig.now_s)
    rig.run(0.3)
    rig.controller.report_divergence(3.0, rig.now_s)
    rig.run(0.3)
    assert rig.controller.state is State.HOLDING
    assert "diverges from the prediction by 3" in rig.snapshot().reason
    assert not rig.commands[-1][1].moves
    with pytest.raises(ChunkRejectedError, match="guard: the world diverged"):
        rig.controller.offer(make_chunk(rig.now_s, rig.pose, 2), rig.now_s)
    assert rig.snapshot().rule_counts["guard"] == 1
    rig.run(0.8)
    rig.controller.offer(make_chunk(rig.now_s, rig.pose, 3), rig.now_s)
    assert rig.controller.state is State.ACTIVE


def test_a_slowed_arm_gets_less_far(make_rig: Any, make_chunk: Any) -> None:
    ways = []
    for divergence in (0.0, 1.0):
        rig = make_rig(guard="slow", guard_timeout_s=10.0, guard_settle_s=0.0)
        rig.enable()
        start = rig.pose
        fast = start.position + np.linspace(0.0, 0.4, 16)[:, np.newaxis] * [0.0, 1.0, 0.0]
        rig.controller.offer(make_chunk(rig.now_s, start, positions=fast), rig.now_s)
        rig.controller.report_divergence(divergence, rig.now_s)
        rig.run(1.0)
        ways.append(np.linalg.norm(rig.pose.position - start.position))
    assert ways[1] < 0.5 * ways[0]
