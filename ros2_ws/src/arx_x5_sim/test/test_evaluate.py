# SPDX-License-Identifier: Apache-2.0
"""Reading blocks from images, a policy with delays as an actor, and the summary of roll-outs."""

import argparse
from types import SimpleNamespace

import numpy as np
import pytest

from arx_x5_sim.tasks.cartesian_env import Observation, PushEnv
from arx_x5_sim.tasks.push.block_readout import BlockReadout
from arx_x5_sim.world.camera import Camera
from arx_x5_sim.world.scene import build_model
from arx_x5_sim.world.world import TOOL_QUATERNION, World
from uva_core.observation.buffer import ObservationBuffer
from uva_core.observation.config import ObservationConfig
from uva_core.policy.predictions import ActionPrediction
from uva_core.poses import encode
from uva_experiments.pushing import failures, parse_seeds, success, table
from uva_experiments.uva_actor import UvaActor


def halved(images):
    return images.reshape(len(images), 64, 2, 64, 2, 3).mean(axis=(2, 4)).astype(np.uint8)


@pytest.fixture(scope="module")
def scene():
    model = build_model()
    camera = Camera(model)
    yield model, camera, BlockReadout.calibrate(model, camera, halved, scenes=150)
    camera.close()


def test_blocks_are_read_to_a_few_millimetres_from_frames_not_seen_before(scene):
    model, camera, readout = scene
    world, images, truth = World(model), [], []
    for seed in range(10_000, 10_020):
        world.reset(seed)
        images.append(camera.render(world))
        truth.append(world.block_poses()[:, :2])
    position, lost = readout(halved(np.stack(images)))
    assert not lost.any()
    assert np.linalg.norm(position - np.stack(truth), axis=-1).mean() < 0.003


def test_a_block_that_is_not_in_the_image_is_lost(scene):
    _, _, readout = scene
    _, lost = readout(np.full((1, 64, 64, 3), 180, np.uint8))
    assert lost.all()


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


def test_failures_tell_how_far_off_they_ended(scene):
    envs = [PushEnv(World(scene[0])) for _ in range(2)]
    for env in envs:
        env.reset(20_000)
    square = envs[1].world.square_positions()[0]
    envs[1].world.set_block(0, np.array([square[0] - 0.05, square[1], 0.0]))
    found = failures(range(7, 9), np.array([12, -1]), envs)
    assert found == {"8": 5.0}
    text = table({"policy": {**success(np.array([12, -1])), "failures": found}})
    assert "not solved (cm from the nearest block to a square): 8 (5.0)" in text


def test_seeds_are_first_and_count():
    assert parse_seeds("20000:100") == range(20_000, 20_100)
    for wrong in ("20000", "a:3", "5:0", "-1:4"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected first:count"):
            parse_seeds(wrong)
