# SPDX-License-Identifier: Apache-2.0
"""Arms without hardware: the loopback lags, the faulty one fails as planned, and a dry run sends nothing."""

from __future__ import annotations

import numpy as np
import pytest

from arx_x5_driver.arm import ArmCommand, ArmError
from arx_x5_driver.arms import DryRunArm, FaultyArm, LoopbackArm


class Clock:
    now_s = 10.0

    def __call__(self) -> float:
        return self.now_s


def goal(angle: float, width: float = 0.05) -> ArmCommand:
    return ArmCommand(np.full(6, angle), np.zeros(6), width)


def test_loopback_lags_behind_its_commands() -> None:
    clock = Clock()
    arm = LoopbackArm(np.zeros(6), gripper_width=0.0, lag_s=0.1, clock=clock)
    arm.connect()
    arm.command(goal(1.0))
    clock.now_s += 0.1
    state = arm.read()
    np.testing.assert_allclose(state.position, 1.0 - np.exp(-1.0))
    assert state.gripper_width == pytest.approx(0.05 * (1.0 - np.exp(-1.0)))
    assert state.stamp_s == clock.now_s
    assert (state.velocity > 0.0).all()
    clock.now_s += 2.0
    np.testing.assert_allclose(arm.read().position, 1.0, atol=1e-6)
    arm.close()


def test_loopback_without_lag_is_an_echo() -> None:
    clock = Clock()
    arm = LoopbackArm(lag_s=0.0, clock=clock)
    arm.command(goal(0.3))
    clock.now_s += 0.005
    np.testing.assert_allclose(arm.read().position, 0.3)


def test_loopback_takes_no_part_in_reading() -> None:
    """However often it is read, it is where it would be."""
    positions = []
    for reads in (1, 50):
        clock = Clock()
        arm = LoopbackArm(lag_s=0.05, clock=clock)
        arm.command(goal(1.0))
        for _ in range(reads):
            clock.now_s += 0.1 / reads
            state = arm.read()
        positions.append(state.position[0])
    assert positions[0] == pytest.approx(positions[1])


def test_faults_begin_and_end_as_planned() -> None:
    clock = Clock()
    arm = FaultyArm(LoopbackArm(clock=clock), "freeze", after_s=1.0, duration_s=0.5, clock=clock)

    def advances() -> bool:
        before_s = arm.read().stamp_s
        clock.now_s += 0.01
        return arm.read().stamp_s > before_s

    clock.now_s += 5.0
    assert advances()
    arm.command(goal(0.1))
    clock.now_s += 0.9
    assert advances()
    clock.now_s += 0.2
    arm.read()
    assert not advances()
    clock.now_s += 0.5
    assert advances()


def test_faults_that_raise_concern_every_call() -> None:
    arm = FaultyArm(LoopbackArm(), "raise")
    arm.read()
    for call in (lambda: arm.command(goal(0.1)), arm.read):
        with pytest.raises(ArmError, match="on purpose"):
            call()
    with pytest.raises(ValueError, match="unknown fault 'fire', known are none, freeze"):
        FaultyArm(LoopbackArm(), "fire")


def test_dropouts_repeat_the_measurement_before() -> None:
    clock = Clock()
    arm = FaultyArm(LoopbackArm(clock=clock), dropout=0.3, clock=clock)
    stamps = []
    for _ in range(500):
        clock.now_s += 0.005
        stamps.append(arm.read().stamp_s)
    lost = 500 - len(set(stamps))
    assert 100 < lost < 200
    assert stamps == sorted(stamps)


def test_dry_run_sends_nothing() -> None:
    inner = LoopbackArm(lag_s=0.0)
    arm = DryRunArm(inner)
    arm.connect()
    arm.command(goal(1.0))
    np.testing.assert_array_equal(arm.read().position, 0.0)
    arm.close()
