# SPDX-License-Identifier: Apache-2.0
"""What the fault injection concludes from what it hears, and one short case of it with real processes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from uva_experiments.driver.faults import report, scenarios
from uva_experiments.driver.faults.__main__ import main
from uva_experiments.driver.faults.commands import Command, Limits, Use, rest_after, use_of

PERIOD_S = 0.005
LIMITS = Limits(
    position_min=np.full(7, -1.0),
    position_max=np.full(7, 1.0),
    velocity=np.full(7, 2.0),
    acceleration=np.full(7, 10.0),
    jerk=np.full(7, 2500.0),
    box_min=np.array([-0.5, -0.5, 0.0]),
    box_max=np.array([0.5, 0.5, 0.5]),
    floor_m=0.02,
    keypoints=np.array([[0.0, 0.0, 0.01], [0.0, 0.0, -0.01]]),
    tool_m_s=0.4,
    tool_rad_s=1.0,
)


def tools(joints: np.ndarray) -> np.ndarray:
    """A gantry: three joints are where the tool is, 10 cm above the table at rest; one turns it."""
    poses = np.tile(np.eye(4), (len(joints), 1, 1))
    poses[:, :3, 3] = np.array([0.0, 0.0, 0.1]) + 0.1 * joints[:, :3]
    poses[:, :3, :3] = Rotation.from_rotvec(joints[:, 3:4] * [0.0, 0.0, 0.4]).as_matrix()
    return poses


def moves(velocities: list[float], start_s: float = 50.0) -> list[Command]:
    """Commands in which all joints have these velocities, one after the other."""
    position, before, commands = 0.0, 0.0, []
    for index, velocity in enumerate(velocities):
        position += velocity * PERIOD_S
        acceleration, before = (velocity - before) / PERIOD_S, velocity
        vectors = (np.full(7, value) for value in (position, velocity, acceleration))
        commands.append(Command(start_s + index * PERIOD_S, *vectors))
    return commands


def at_rest(position: np.ndarray, stamp_s: float = 1.0) -> Command:
    return Command(stamp_s, position, np.zeros(7), np.zeros(7))


def ramp(top: float, acceleration: float = 10.0) -> list[float]:
    """Up to a velocity and down again."""
    up = np.arange(0.0, top + 1e-9, acceleration * PERIOD_S).tolist()
    return [*up, *reversed(up)]


def test_what_keeps_the_limits_uses_at_most_all_of_them() -> None:
    use = use_of(moves(ramp(1.5)), LIMITS, tools)
    assert use.kept
    assert (use.velocity, use.acceleration, use.jerk) == pytest.approx((0.75, 1.0, 0.8))
    assert use.tool == pytest.approx(max(1.5 * 0.1 * np.sqrt(3.0) / 0.4, 1.5 * 0.4 / 1.0), rel=1e-4)
    assert (use.beyond_rad, use.beyond_m, use.count) == (0.0, 0.0, len(ramp(1.5)))
    assert use_of([], LIMITS, tools) == Use()


@pytest.mark.parametrize(
    ("commands", "name", "value"),
    [
        (moves(ramp(2.1)), "velocity", 1.05),
        (moves(ramp(1.0, acceleration=12.0)), "acceleration", 1.2),
        (moves([*ramp(1.0), 0.0, 0.5]), "acceleration", 10.0),
        ([at_rest(np.zeros(7)), replace(at_rest(np.zeros(7), 1.003), acceleration=np.full(7, 9.0))], "jerk", 1.2),
        ([at_rest(np.full(7, 1.001))], "beyond_rad", 0.001),
        ([at_rest(-0.9 * np.eye(7)[2])], "beyond_m", 0.02),
        ([at_rest(np.zeros(7)), at_rest(np.zeros(7))], "backwards", 1),
    ],
)
def test_each_violation_is_seen(commands: list[Command], name: str, value: float) -> None:
    use = use_of(commands, LIMITS, tools)
    assert not use.kept
    assert getattr(use, name) == pytest.approx(value)


def test_a_position_that_jumps_is_too_fast_whatever_velocity_is_claimed() -> None:
    still = [at_rest(np.zeros(7), PERIOD_S * index) for index in range(3)]
    jump = replace(still[-1], stamp_s=3 * PERIOD_S, position=0.1 * np.eye(7)[6])
    assert use_of([*still, jump], LIMITS, tools).velocity == pytest.approx(10.0)


def test_stamps_of_a_clock_that_ticks_slowly_do_not_tell() -> None:
    commands = [
        replace(command, stamp_s=command.stamp_s // 0.02 * 0.02 + index * 1e-6)
        for index, command in enumerate(moves(ramp(1.5)))
    ]
    assert not use_of(commands, LIMITS, tools).kept
    assert use_of(commands, LIMITS, tools, PERIOD_S).kept


def test_after_a_pause_the_driver_has_started_anew() -> None:
    before, after = moves(ramp(1.0)), moves([0.0] * 10, start_s=51.0)
    shifted = [replace(command, position=command.position + 0.5) for command in after]
    assert use_of([*before, *shifted], LIMITS, tools).kept


def test_rest_is_after_the_last_moving_command() -> None:
    commands = moves([0.0, 0.5, 0.5, 0.0, 0.0, 0.5, 0.0, 0.0])
    first_s = commands[0].stamp_s
    assert rest_after(commands, first_s) == commands[6].stamp_s
    assert rest_after(commands[:6], first_s) == commands[5].stamp_s
    later_s = commands[6].stamp_s
    assert rest_after(commands, later_s) == later_s


@pytest.fixture
def finding():
    """A finding in which everything is as it should be."""
    scenario = scenarios.SCENARIOS[0]
    return scenarios.Finding(
        scenario,
        scenarios.Reaction(0.01, 0.2, "holding", recovered=True),
        Use(velocity=0.9, acceleration=1.0, beyond_m=0.003, count=900),
    )


def test_a_finding_passes_only_if_everything_is_as_it_should_be(finding) -> None:
    assert finding.passed
    reaction, use = finding.reaction, finding.use
    for spoilt in (
        replace(finding, reaction=None, error="no 'holding'"),
        replace(finding, reaction=replace(reaction, noticed_s=0.06)),
        replace(finding, reaction=replace(reaction, rest_s=0.31)),
        replace(finding, reaction=replace(reaction, recovered=False)),
        replace(finding, use=replace(use, acceleration=1.01)),
        replace(finding, use=replace(use, jerk=1.01)),
        replace(finding, use=replace(use, tool=1.08)),
        replace(finding, use=replace(use, backwards=1)),
        replace(finding, use=replace(use, beyond_m=0.005)),
        replace(finding, use=replace(use, count=0)),
    ):
        assert not spoilt.passed
    assert replace(finding, reaction=replace(reaction, noticed_s=math.nan)).passed


def test_the_report_says_what_was_measured(finding) -> None:
    failed = replace(finding, reaction=None, error="no 'holding' came")
    assert "| 10 ms (50) | 200 ms (300) | holding |" in report.row(finding)
    assert report.row(finding).endswith("| ok |")
    assert "no 'holding' came" in report.row(failed)
    assert report.row(failed).endswith("| FAILED |")
    assert report.row(finding).count("|") == report.row(failed).count("|") == report.HEADER.count("|")
    silent = replace(finding, reaction=replace(finding.reaction, noticed_s=math.nan))
    results = report.as_dict([silent])
    entry = results["faults"]["policy_killed"]
    assert math.isnan(entry["noticed_s"])
    assert (entry["rest_s"], entry["limits"]["velocity"]) == (0.2, 0.9)
    assert results["passed"]
    assert not report.as_dict([finding, failed])["passed"]


def test_every_scenario_is_documented() -> None:
    text = (Path(__file__).resolve().parents[4] / "docs" / "faults.md").read_text(encoding="utf-8")
    assert [scenario.name for scenario in scenarios.SCENARIOS if f"`{scenario.name}`" not in text] == []
    assert [scenario.fault for scenario in scenarios.SCENARIOS if f"| {scenario.fault} |" not in text] == []


@pytest.mark.system
def test_a_fault_over_dds(tmp_path) -> None:
    """Its limits and its end are asserted; how fast it was noticed is measured on a machine that does nothing else."""
    command = [sys.executable, "-m", "uva_experiments.driver.faults", "clock_ahead", "--out", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "| stamps 5 s ahead |" in ended.stdout, ended.stderr
    entry = json.loads((tmp_path / "faults.json").read_text())["faults"]["clock_ahead"]
    assert entry["error"] == ""
    assert (entry["state"], entry["recovered"], entry["limits_kept"]) == ("holding", True, True)
    assert entry["limits"]["count"] > 200
    assert 0.05 < entry["limits"]["velocity"] <= 1.001
    assert entry["rest_s"] <= 0.3


def test_unknown_fault_is_named(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["earthquake"])
    assert "unknown: earthquake" in capsys.readouterr().err
