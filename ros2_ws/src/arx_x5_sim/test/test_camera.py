# SPDX-License-Identifier: Apache-2.0
"""What matters can be told apart in the image by colour alone, and appears where it is."""

import mujoco
import numpy as np
import pytest

from arx_x5_sim.tasks.push.scene import BLOCK_NAMES
from arx_x5_sim.tasks.push.task import block_poses, place, set_block, solved
from arx_x5_sim.world.camera import focal_length_px
from arx_x5_sim.world.scene import CAMERA_NAME
from arx_x5_sim.world.world import World


def _pixels(image, channel_high, channels_low):
    image = image.astype(int)
    return sum((image[..., channel_high] > image[..., low] + 60) for low in channels_low) == len(channels_low)


@pytest.mark.parametrize("seed", range(10))
def test_blocks_and_squares_are_visible(world, camera, seed):
    world.reset(seed, place)
    image = camera.render(world)
    assert image.shape == (128, 128, 3)
    assert image.dtype == np.uint8
    red = _pixels(image, 0, (1, 2))
    blue = _pixels(image, 2, (0, 1))
    green = _pixels(image, 1, (0, 2))
    yellow = (image[..., :2].min(axis=-1).astype(int) > image[..., 2].astype(int) + 60) & ~green & ~red
    dark = image.max(axis=-1) < 40
    assert min(red.sum(), blue.sum()) > 150
    assert min(green.sum(), yellow.sum()) > 350
    assert dark.sum() > 20, "the peg"


def test_the_table_is_of_one_colour(world, camera):
    world.reset(0, place)
    image = camera.render(world)
    colours, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    assert counts.max() > 0.6 * image.shape[0] * image.shape[1], colours[counts.argmax()]


def test_blocks_appear_where_they_are(world, camera):
    world.reset(0, place)
    set_block(world, 0, np.array([0.35, 0.12, 0.0]))
    world.step()
    columns = np.nonzero(_pixels(camera.render(world), 0, (1, 2)))[1]
    assert columns.mean() > 80, "positive y is on the image's right"


def test_the_focal_length_says_where_a_block_appears(world, camera):
    world.reset(0, place)
    set_block(world, 0, np.array([0.33, 0.10, 0.0]))
    world.step()
    rows, columns = np.nonzero(_pixels(camera.render(world), 0, (1, 2)))
    data = world.data
    to_block = data.body(BLOCK_NAMES[0]).xpos - data.camera(CAMERA_NAME).xpos
    right, up, backward = data.camera(CAMERA_NAME).xmat.reshape(3, 3).T @ to_block
    scale = focal_length_px(camera.height) / -backward
    assert columns.mean() == pytest.approx((camera.width - 1) / 2 + scale * right, abs=2.0)
    assert rows.mean() == pytest.approx((camera.height - 1) / 2 - scale * up, abs=2.0)


def test_a_view_shows_what_the_world_shows(model, world, camera):
    world.reset(4, place)
    view = World(model)
    view.show(world)
    mujoco.mj_forward(model, world.data)
    np.testing.assert_array_equal(camera.render(view), camera.render(world))
    np.testing.assert_array_equal(block_poses(view), block_poses(world))
    assert (view.seed, solved(view)) == (4, False)
