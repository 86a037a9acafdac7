# SPDX-License-Identifier: Apache-2.0
"""Parameters select the arm; those that do not fit together are refused before it is connected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from arx_x5_driver import arm_selection
from arx_x5_driver.arm_selection import make_arm, release_notice
from arx_x5_driver.arms import FaultyArm, IsolatedArm
from arx_x5_driver.parameters import DriverParameters


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


def test_parameters_reach_the_real_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Mock()
    monkeypatch.setattr(arm_selection, "Arx5SdkArm", made)
    make_arm(DriverParameters(rate_hz=100.0, following_error_rad=0.2, torque_on_error_rad=0.05, can_interface="can3"))
    assert made.call_args.args == ("X5_umi", "can3")
    expected = {"period_s": 0.01, "following_error_rad": 0.2, "torque_on_error_rad": 0.05}
    assert expected.items() <= made.call_args.kwargs.items()


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
def test_parameters_that_do_not_fit_are_refused_by_the_driver(parameters: dict[str, Any], message: str) -> None:
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
