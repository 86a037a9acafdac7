# SPDX-License-Identifier: Apache-2.0
"""A policy with delays acts in roll-outs as in the running stack."""

from types import SimpleNamespace

import numpy as np
import pytest

from arx_x5_sim.tasks.cartesian_env import Observation
from arx_x5_sim.world.world import TOOL_QUATERNION
from uva_core.observation.buffer import ObservationBuffer
from uva_core.observation.config import ObservationConfig
from uva_core.policy.predictions import ActionPrediction
from uva_core.poses import encode
from uva_experiments.uva_actor import UvaActor


class CountingPolicy:
    """Answers with poses whose x tells step of the observation + 0.01 * index of the action."""

    config = SimpleNamespace(observation=ObservationConfig(rate_hz=10.0, frame_offsets=(-1, 0), resize="area"))

    def make_buffer(self, *, pad_start):
        return ObservationBuffer(self.config.observation, 8, pad_start=pad_start)

    def predict_actions(self, observations, seeds, sampling):
        self.seeds = list(seeds)
        poses = np.tile(np.eye(4), (16, 1, 1))
        poses[:, 0, 3] = 0.01 * np.arange(16)
        chunks = [encode(poses + _shift(o.stamp_s * 10), np.zeros(16)) for o in observations]
        return [ActionPrediction(chunk, np.arange(16) / 10, {}) for chunk in chunks]


def _shift(x):
    shift = np.zeros((4, 4))
    shift[0, 3] = x
    return shift


def observe():
    return Observation(np.zeros((8, 8, 3), np.uint8), np.array([-1.0, 0, 0]), TOOL_QUATERNION, 0.0, 0.0)


def test_a_chunk_takes_effect_after_the_latency_at_the_action_that_is_due():
    policy = CountingPolicy()
    actor = UvaActor(policy, [5, 6], execute=4, latency_steps=1)
    found = [round(float(actor([observe(), observe()])[0].position[0]), 2) for _ in range(7)]
    # step 0: nothing has arrived, the arm holds; then actions 1 to 4 of the chunk of step 0; then those of step 4
    assert found == [-1.0, 0.01, 0.02, 0.03, 0.04, 4.01, 4.02]
    assert policy.seeds == [5004, 6004]


def test_without_latency_the_first_action_is_the_first():
    actor = UvaActor(CountingPolicy(), [0], execute=2, latency_steps=0)
    found = [round(float(actor([observe()])[0].position[0]), 2) for _ in range(4)]
    assert found == [0.0, 0.01, 2.0, 2.01]


def test_an_actor_without_images_says_what_it_needs():
    blind = Observation(None, np.zeros(3), TOOL_QUATERNION, 0.0, 0.0)
    with pytest.raises(ValueError, match="needs images"):
        UvaActor(CountingPolicy(), [0])([blind])
