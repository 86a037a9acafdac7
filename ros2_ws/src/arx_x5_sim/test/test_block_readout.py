# SPDX-License-Identifier: Apache-2.0
"""Blocks are read from images by colour, to a few millimetres."""

import numpy as np
import pytest

from arx_x5_sim.tasks.push.block_readout import BlockReadout
from arx_x5_sim.tasks.push.task import block_poses, place
from arx_x5_sim.world.world import World


def halved(images):
    return images.reshape(len(images), 64, 2, 64, 2, 3).mean(axis=(2, 4)).astype(np.uint8)


@pytest.fixture(scope="module")
def readout(model, camera):
    return BlockReadout.calibrate(model, camera, halved, scenes=150)


def test_blocks_are_read_to_a_few_millimetres_from_frames_not_seen_before(model, camera, readout):
    world, images, truth = World(model), [], []
    for seed in range(10_000, 10_020):
        world.reset(seed, place)
        images.append(camera.render(world))
        truth.append(block_poses(world)[:, :2])
    position, lost = readout(halved(np.stack(images)))
    assert not lost.any()
    assert np.linalg.norm(position - np.stack(truth), axis=-1).mean() < 0.003


def test_a_block_that_is_not_in_the_image_is_lost(readout):
    _, lost = readout(np.full((1, 64, 64, 3), 180, np.uint8))
    assert lost.all()
