# SPDX-License-Identifier: Apache-2.0
"""A policy drives, the expert takes over, and only what the expert did may be imitated."""

from types import SimpleNamespace

import numpy as np
import pytest

from arx_x5_sim.collection.episodes import STILL_STEPS
from arx_x5_sim.tasks.cartesian_env import RATE_HZ, CartesianEnv
from arx_x5_sim.tasks.push.task import place, set_block, square_positions
from arx_x5_sim.world.world import PEG_GRIP_WIDTH_M, World
from uva_core.actions import ActionSequence
from uva_core.observation.buffer import ObservationBuffer
from uva_core.observation.config import ObservationConfig
from uva_core.policy.predictions import ActionPrediction
from uva_experiments.corrections import TAKE_OVER_STEPS, main, record_corrections


class IdlePolicy:
    """Stays where it is; in one environment, the task solves itself after three plans."""

    config = SimpleNamespace(observation=ObservationConfig(rate_hz=RATE_HZ, frame_offsets=(-1, 0), resize="area"))

    def __init__(self, lucky_world):
        self.lucky_world = lucky_world
        self.plans = 0

    def make_buffer(self, *, pad_start):
        return ObservationBuffer(self.config.observation, 8, pad_start=pad_start)

    def predict_actions(self, observations, seeds, sampling):
        self.plans += 1
        if self.plans == 3:
            set_block(self.lucky_world, 0, np.array([*square_positions(self.lucky_world)[0], 0.0]))
        still = [
            ActionSequence.from_poses(np.repeat(o.eef_pose[-1:], 16, axis=0), np.full(16, PEG_GRIP_WIDTH_M))
            for o in observations
        ]
        return [ActionPrediction(sequence.vectors, np.arange(16) / RATE_HZ, {}) for sequence in still]


@pytest.fixture(scope="module")
def recorded(model, camera):
    envs = [CartesianEnv(World(model), place) for _ in range(3)]
    return record_corrections([11, 12], IdlePolicy(lucky_world=envs[1].world), envs, camera)


def test_what_the_policy_solved_by_itself_is_left_out(recorded):
    assert [(episode.seed, episode.succeeded) for episode in recorded] == [(11, True)]


def test_the_policys_steps_come_first_and_are_not_to_be_imitated(recorded):
    arrays = recorded[0].arrays
    driven = int(np.flatnonzero(arrays["is_expert"])[0])
    assert TAKE_OVER_STEPS[0] <= driven < TAKE_OVER_STEPS[1]
    assert arrays["is_expert"][driven:].all()
    moved = np.linalg.norm(arrays["robot0_eef_pos"] - arrays["robot0_eef_pos"][0], axis=1)
    assert moved[:driven].max() < 0.003, "the idle policy drove"
    assert moved[driven:].max() > 0.1, "then the expert"
    assert np.linalg.norm(np.diff(arrays["action"][-STILL_STEPS:, :3], axis=0), axis=1).max() < 2e-3


def test_bad_options_end_in_one_line(tmp_path, caplog, capsys):
    out = ["--out", str(tmp_path / "x.zarr"), "--workers", "1"]
    with pytest.raises(SystemExit):
        main([*out, "--seeds", "5:2"])
    assert "required: --policy" in capsys.readouterr().err
    nothing = ["--policy", str(tmp_path / "nothing.safetensors")]
    assert main([*out, "--seeds", "5:2", *nothing]) == 1
    assert "no checkpoint at" in caplog.text
    assert main([*out, "--seeds", "20000:2", *nothing]) == 1
    assert "seeds 20000 to 20001 are not all training seeds" in caplog.text
    assert list(tmp_path.iterdir()) == []
