# SPDX-License-Identifier: Apache-2.0
"""The summary of roll-outs says what was solved, how certain that is, and how far off the rest ended."""

import numpy as np
import pytest

from arx_x5_sim.tasks.cartesian_env import CartesianEnv
from arx_x5_sim.tasks.push.task import place, set_block, square_positions
from arx_x5_sim.world.world import World
from uva_experiments.pushing import failures, success, table


def test_success_comes_with_its_interval():
    result = success(np.array([30] * 60 + [-1] * 40))
    assert (result["solved"], result["success"], result["mean_seconds"]) == (60, 0.6, 3.0)
    low, high = result["interval_95"]
    assert low == pytest.approx(0.502, abs=0.002)
    assert high == pytest.approx(0.691, abs=0.002)
    assert success(np.array([-1]))["mean_seconds"] is None


def test_the_table_shows_every_policy():
    text = table({"policy": success(np.array([10, -1])), "random": success(np.array([-1, -1]))})
    assert "policy        1/2        0.50" in text
    assert "random        0/2        0.00" in text


def test_failures_tell_how_far_off_they_ended(model):
    envs = [CartesianEnv(World(model), place) for _ in range(2)]
    for env in envs:
        env.reset(20_000)
    square = square_positions(envs[1].world)[0]
    set_block(envs[1].world, 0, np.array([square[0] - 0.05, square[1], 0.0]))
    found = failures(range(7, 9), np.array([12, -1]), envs)
    assert found == {"8": 5.0}
    text = table({"policy": {**success(np.array([12, -1])), "failures": found}})
    assert "not solved (cm from the nearest block to a square): 8 (5.0)" in text
