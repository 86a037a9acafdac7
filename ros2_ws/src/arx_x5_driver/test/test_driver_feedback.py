# SPDX-License-Identifier: Apache-2.0
"""Which measurements count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from arx_x5_driver.arm import ArmState
from arx_x5_driver.control.feedback import Feedback
from arx_x5_driver.control.state import RequestRefusedError, State

MEASURED = ArmState(100.0, np.zeros(6), np.zeros(6), np.zeros(6), 0.04, 0.0, 0.0)


def test_a_measurement_is_fresh_until_its_timeout() -> None:
    feedback = Feedback(timeout_s=0.1)
    assert feedback.fresh(100.0) is None
    assert feedback.take(MEASURED, 100.0) is MEASURED
    assert feedback.take(MEASURED, 100.05) is None
    assert feedback.fresh(100.1) is MEASURED
    assert feedback.fresh(100.11) is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"stamp_s": 3700.0}, ": the newest one is stamped 3600.00 s in the future"),
        ({"stamp_s": np.nan}, ": the newest one holds NaN or infinite numbers"),
        ({"gripper_width": np.inf}, ": the newest one holds NaN or infinite numbers"),
        ({"position": np.array([0, 0, np.nan, 0, 0, 0])}, ": the newest one holds NaN or infinite numbers"),
    ],
)
def test_a_measurement_that_cannot_be_right_is_left_out(changes: dict[str, Any], problem: str) -> None:
    feedback = Feedback(timeout_s=0.1)
    assert feedback.take(replace(MEASURED, **changes), 100.0) is None
    assert feedback.problem == problem
    assert feedback.take(MEASURED, 100.0) is MEASURED
    assert feedback.problem == ""


def test_one_stamp_from_the_future_changes_nothing(make_rig: Any) -> None:
    rig = make_rig()
    rig.enable()
    rig.frozen = replace(rig.arm.read(), stamp_s=rig.now_s + 3600.0)
    rig.run(0.01)
    rig.frozen = None
    rig.run(1.0)
    assert rig.controller.state is State.HOLDING


def test_stamps_from_the_future_are_a_fault_until_they_end(make_rig: Any) -> None:
    rig = make_rig()
    rig.enable()
    rig.frozen = replace(rig.arm.read(), stamp_s=rig.now_s + 3600.0)
    rig.run(0.2)
    assert rig.controller.state is State.FAULT
    assert "no new measurement for 0.1 s: the newest one is stamped 3599.89 s in the future" in rig.snapshot().reason
    with pytest.raises(RequestRefusedError, match="no fresh measurements: the newest one is stamped 3599"):
        rig.controller.enable(rig.now_s)
    rig.frozen = None
    rig.run(0.01)
    rig.controller.enable(rig.now_s)
    assert rig.controller.state is State.HOLDING


def test_frozen_feedback_is_a_fault_until_enabled_again(make_rig: Any, make_chunk: Any) -> None:
    rig = make_rig(feedback_timeout_s=0.1)
    rig.enable()
    rig.controller.offer(make_chunk(rig.now_s, rig.pose), rig.now_s)
    rig.run(0.3)
    rig.freeze_feedback()
    rig.run(0.09)
    assert rig.controller.state is State.ACTIVE
    rig.run(0.03)
    assert rig.controller.state is State.FAULT
    assert "no new measurement for 0.1 s" in rig.snapshot().reason
    rig.run(0.3)
    assert not rig.commands[-1][1].moves
    with pytest.raises(RequestRefusedError, match="no fresh measurements"):
        rig.controller.enable(rig.now_s)
    rig.frozen = None
    rig.run(0.02)
    assert rig.controller.state is State.FAULT
    rig.controller.enable(rig.now_s)
    assert rig.controller.state is State.HOLDING


def test_old_stamps_in_turn_are_no_feedback(make_rig: Any) -> None:
    rig = make_rig()
    rig.enable()
    old = [replace(rig.arm.read(), stamp_s=rig.now_s - age_s) for age_s in (0.005, 0.01)]
    for i in range(40):
        rig.frozen = old[i % 2]
        rig.run(0.005)
    assert rig.controller.state is State.FAULT
    assert rig.snapshot().rule_counts["feedback_timeout"] == 1


def test_activation_forgets_the_clock_of_the_arm(make_rig: Any) -> None:
    """A simulation may begin anew."""
    rig = make_rig()
    rig.run(0.02)
    rig.controller.deactivate()
    rig.controller.activate()
    rig.frozen = replace(rig.arm.read(), stamp_s=1.0)
    rig.now_s += 1.0
    rig.run(0.005)
    rig.controller.enable(rig.now_s)
    assert rig.controller.state is State.HOLDING


def test_measurements_that_are_not_numbers_are_none(make_rig: Any) -> None:
    rig = make_rig()
    rig.enable()
    state = rig.arm.read()
    for i in range(40):
        bad = replace(state, stamp_s=rig.now_s + 0.005 * i, position=np.full(6, np.nan))
        rig.controller.tick(rig.now_s + 0.005 * i, bad)
    assert rig.controller.state is State.FAULT


def test_no_measurement_at_all(make_rig: Any) -> None:
    rig = make_rig()
    with pytest.raises(RequestRefusedError, match="no fresh measurements"):
        rig.controller.enable(rig.now_s)
    rig.enable()
    for i in range(1, 60):
        rig.controller.tick(rig.now_s + 0.005 * i, None)
    assert rig.controller.state is State.FAULT


def test_enable_is_refused_after_a_pause_of_the_loop(make_rig: Any) -> None:
    rig = make_rig()
    rig.run(0.02)
    with pytest.raises(RequestRefusedError, match="no fresh measurements"):
        rig.controller.enable(rig.now_s + 100.0)
