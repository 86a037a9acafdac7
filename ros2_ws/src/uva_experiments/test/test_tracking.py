# SPDX-License-Identifier: Apache-2.0
"""The comparison of drivers measures what it says, and the driver is far better than the naive one."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("arx5_interface")
pytest.importorskip("matplotlib")

from uva_experiments.driver.figure_eight import STEP_S
from uva_experiments.driver.tracking.__main__ import main
from uva_experiments.driver.tracking.run import FIGURE, RATE_HZ, RUN_IN_S, Recording, score


def recording(delay_s: float = 0.0, aside_m: float = 0.0) -> Recording:
    """An arm that follows the figure late, or beside it."""
    times_s = np.arange(1, round(RATE_HZ * (RUN_IN_S + FIGURE.period_s)) + 1) / RATE_HZ
    wanted, _, _ = FIGURE.at(times_s)
    position, _, _ = FIGURE.at(times_s - delay_s)
    joints = np.tile(0.5 * np.sin(4.0 * times_s)[:, np.newaxis], (1, 6))
    return Recording(times_s, position + [aside_m, 0.0, 0.0], wanted, np.full(len(times_s), np.deg2rad(0.5)), joints)


def test_lateness_is_an_error_but_not_one_of_the_path() -> None:
    late = score(recording(delay_s=0.05), FIGURE)
    assert late.rms_mm > 4.0
    assert late.path_rms_mm < 0.2
    beside = score(recording(aside_m=0.003), FIGURE)
    assert beside.rms_mm == pytest.approx(3.0)
    assert beside.max_mm == pytest.approx(3.0)
    assert beside.path_rms_mm == pytest.approx(3.0, abs=0.01)
    assert beside.rms_deg == pytest.approx(0.5)


def test_jerk_is_the_third_derivative() -> None:
    assert score(recording(), FIGURE).joint_jerk_max == pytest.approx(0.5 * 4.0**3, rel=1e-2)


def test_a_chunk_is_a_piece_of_the_figure() -> None:
    chunk = FIGURE.chunk(3, observed_s=1.0, offset=np.array([0.0, 0.0, 0.001]))
    position, quaternion, width = FIGURE.at(np.array([1.0 + 5 * STEP_S]))
    np.testing.assert_allclose(chunk.times_s[4], 1.5)
    np.testing.assert_allclose(chunk.positions[4], position[0] + [0.0, 0.0, 0.001])
    np.testing.assert_allclose(chunk.quaternions[4], quaternion[0])
    assert chunk.widths[4] == pytest.approx(width[0])


def test_the_driver_is_close_and_smooth_where_the_naive_one_is_neither(tmp_path, capsys) -> None:
    assert main(["--duration-s", "3", "--noise-mm", "0", "--out", str(tmp_path)]) == 0
    naive, ours = json.loads((tmp_path / "tracking.json").read_text())["runs"]
    assert ours["rms_mm"] < 1.0 < 10.0 < naive["rms_mm"]
    assert 20.0 * ours["joint_jerk_max"] < naive["joint_jerk_max"]
    assert (tmp_path / "tracking.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.count("this driver") == 1
