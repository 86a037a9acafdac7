# SPDX-License-Identifier: Apache-2.0
"""Arms without hardware: the loopback lags, the faulty one fails as planned, and parameters select which there is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from arx_x5_driver.arm import ArmCommand, ArmError
from arx_x5_driver.arm_selection import make_arm, release_notice
from arx_x5_driver.arms import Arx5SdkArm, DryRunArm, FaultyArm, IsolatedArm, LoopbackArm
from arx_x5_driver.parameters import DriverParameters


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


@pytest.mark.parametrize(
    ("parameters", "kind"),
    [
        ({"arm": "sdk"}, IsolatedArm),
        ({"arm": "loopback"}, IsolatedArm),
        ({"arm": "loopback", "isolate_arm": False}, FaultyArm),
    ],
)
def test_parameters_select_the_arm(parameters: dict[str, Any], kind: type) -> None:
    assert isinstance(make_arm(replace(DriverParameters(), **parameters)), kind)


def test_parameters_reach_the_real_arm() -> None:
    parameters = DriverParameters(
        rate_hz=100.0,
        following_error_rad=0.2,
        torque_on_error_rad=0.05,
        gravity_m_s2=[0.0, 9.8, 0.0],
    )
    isolated = make_arm(parameters)
    assert isinstance(isolated, IsolatedArm)
    arm = isolated._factory()
    assert isinstance(arm, Arx5SdkArm)
    assert (arm._period_s, arm._following_error_rad, arm._torque_on_error_rad) == (0.01, 0.2, 0.05)
    np.testing.assert_array_equal(arm._gravity_m_s2, [0.0, 9.8, 0.0])


def test_the_loopback_arm_starts_where_it_is_told() -> None:
    parameters = DriverParameters(
        arm="loopback", isolate_arm=False, loopback_position_rad=[0.1] * 6, loopback_gripper_width_m=0.02
    )
    state = make_arm(parameters).read()
    np.testing.assert_array_equal(state.position, 0.1)
    assert state.gripper_width == 0.02


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"arm": "sdk", "on_shutdown": "hold"}, "X5_umi must not be left with torque"),
        ({"arm": "sdk", "isolate_arm": False}, "isolate_arm must be true for arm sdk"),
        ({"arm": "sdk", "gravity_m_s2": [0.0, -9.807]}, "gravity_m_s2 needs 3 numbers"),
        ({"arm": "loopback", "loopback_position_rad": [0.0]}, "6 joints"),
    ],
)
def test_unfit_parameters_are_heard_of_in_the_driver(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_arm(replace(DriverParameters(), **parameters))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "held for 0.5 s, then damped"),
        ({"on_shutdown": "hold"}, "stay as they are"),
        ({"dry_run": True}, "nothing was sent; a real one is damped, no longer carries itself, and sinks"),
    ],
)
def test_the_operator_is_told_what_becomes_of_the_arm(parameters: dict[str, Any], words: str) -> None:
    assert words in release_notice(replace(DriverParameters(), **parameters))
