# SPDX-License-Identifier: Apache-2.0
"""Chunks are executed in true time, late steps dropped and counted once, and new chunks blend in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from arx_x5_driver.chunk import Chunk
from arx_x5_driver.geometry.se3 import Pose, quaternion_from_rpy
from arx_x5_driver.motion.schedule import Schedule, Target

STANDING = Target(Pose(np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])), 0.0)


def line(times_s: list[float], start: float, slope: float, sequence: int = 1) -> Chunk:
    """A chunk on the straight x = y = width = yaw = start + slope * time."""
    values = start + slope * np.array(times_s)
    return Chunk(
        sequence=sequence,
        frame="base_link",
        stamp_s=times_s[0],
        times_s=np.array(times_s),
        positions=np.stack([values, values, 0.0 * values], axis=1),
        quaternions=np.array([quaternion_from_rpy(0.0, 0.0, value) for value in values]),
        widths=values,
    )


def yaw(target: Target) -> float:
    return 2.0 * float(np.arctan2(target.pose.quaternion[2], target.pose.quaternion[3]))


def total(schedule: Schedule) -> int:
    return schedule.executed + schedule.dropped + schedule.superseded + schedule.pending


def test_target_is_on_the_chunk_in_true_time() -> None:
    schedule = Schedule(blend_s=0.0)
    schedule.replace(line([1.0, 1.1, 1.3, 1.4], start=0.0, slope=1.0), 1.05, STANDING)
    for now_s in (1.06, 1.1, 1.2, 1.37):
        target = schedule.at(now_s)
        np.testing.assert_allclose(target.pose.position, [now_s, now_s, 0.0])
        assert yaw(target) == pytest.approx(now_s)
        assert target.width == pytest.approx(now_s)
    assert schedule.at(9.0).width == pytest.approx(1.4)
    assert schedule.end_s == 1.4


def test_a_chunk_in_the_future_is_approached_from_where_the_target_stands() -> None:
    schedule = Schedule(blend_s=0.0)
    schedule.replace(line([2.0, 3.0], start=0.0, slope=1.0), 1.0, STANDING)
    assert schedule.at(1.0).width == pytest.approx(0.0)
    assert schedule.at(1.5).width == pytest.approx(1.0)
    assert schedule.at(2.5).width == pytest.approx(2.5)


def test_steps_are_counted_exactly_once() -> None:
    schedule = Schedule(blend_s=0.1)
    schedule.replace(line([1.0, 1.1, 1.2, 1.3], 0.0, 1.0), 1.1, STANDING)
    assert (schedule.dropped, schedule.executed, schedule.superseded) == (2, 0, 0)
    schedule.at(1.15)
    schedule.at(1.25)
    schedule.at(1.25)
    assert (schedule.dropped, schedule.executed, schedule.superseded) == (2, 1, 0)
    schedule.replace(line([1.2, 1.3, 1.4], 0.0, 1.0, sequence=2), 1.26, STANDING)
    assert (schedule.dropped, schedule.executed, schedule.superseded) == (3, 1, 1)
    schedule.at(1.35)
    schedule.clear()
    assert (schedule.dropped, schedule.executed, schedule.superseded) == (3, 2, 2)
    assert total(schedule) == 7


def test_blend_jumps_neither_in_position_nor_in_velocity() -> None:
    schedule = Schedule(blend_s=0.2)
    dt_s = 0.001
    schedule.replace(line([0.0, 0.5, 1.0, 2.0, 3.0], start=0.0, slope=1.0), 0.5, STANDING)
    times_s = np.arange(1.0, 3.0, dt_s)
    widths = []
    for now_s in times_s:
        if abs(now_s - 1.5) < dt_s / 2:  # 10 cm away and in the other direction
            schedule.replace(line([1.0, 2.0, 4.0], start=3.1, slope=-1.0, sequence=2), now_s, STANDING)
        widths.append(schedule.at(now_s).width)
    speeds = np.diff(widths) / dt_s
    assert np.abs(np.diff(widths)).max() < 3.0 * dt_s
    assert np.abs(np.diff(speeds)).max() < 0.1
    np.testing.assert_allclose(widths[-1], 3.1 - times_s[-1])


def test_flood_of_chunks_stays_continuous_and_cheap() -> None:
    schedule = Schedule(blend_s=0.2)
    widths = []
    for i in range(400):
        now_s = 1.0 + 0.001 * i
        schedule.replace(line([now_s, now_s + 1.0], start=0.1 * (-1) ** i, slope=0.0), now_s, STANDING)
        widths.append(schedule.at(now_s).width)
    assert np.abs(np.diff(widths)).max() < 0.01
    assert schedule.dropped == 400
    assert total(schedule) == 800


def test_rotation_takes_the_short_way_across_pi() -> None:
    schedule = Schedule(blend_s=0.0)
    schedule.replace(line([0.0, 1.0, 2.0], start=np.pi - 0.5, slope=1.0), 0.0, STANDING)
    previous = schedule.at(0.01).pose
    for now_s in np.arange(0.02, 2.0, 0.01):
        pose = schedule.at(float(now_s)).pose
        assert pose.distance(previous)[1] < 0.011
        previous = pose


def test_nothing_running() -> None:
    with pytest.raises(RuntimeError, match="no chunk is running"):
        Schedule(blend_s=0.1).at(0.0)


def test_dropping_everything_is_not_asked_of_it(make_chunk: Callable[..., Chunk]) -> None:
    """The gate rejects a chunk whose steps are all late; the schedule then never sees it."""
    schedule = Schedule(blend_s=0.1)
    chunk = make_chunk(10.0)
    schedule.replace(chunk, chunk.times_s[-2], STANDING)
    assert schedule.pending == 1
    assert schedule.dropped == len(chunk) - 1
