# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from uva_core import images


@pytest.mark.parametrize(("shape", "columns"), [((30, 60), slice(15, 45)), ((40, 30), slice(0, 30))])
def test_cover_keeps_the_centre_without_distortion(shape, columns):
    picture = np.zeros((2, *shape, 3), np.uint8)
    picture[..., columns, 0] = 200
    picture[..., 1] = 100
    covered = images.cover(picture, 30, 30)
    assert covered.shape == (2, 30, 30, 3)
    assert (covered[..., 0] == 200).all()
    assert (covered[..., 1] == 100).all()


def test_cover_enlarges_small_images():
    assert images.cover(np.full((1, 8, 6, 3), 7, np.uint8), 20, 20).shape == (1, 20, 20, 3)


def test_prepared_images_are_centred_squares_in_the_tokenizers_range():
    picture = np.zeros((2, 30, 60, 3), np.uint8)
    picture[:, :, 15:45] = (255, 0, 51)
    prepared = images.prepare(picture, 10, "area")
    assert prepared.shape == (2, 3, 10, 10)
    for channel, value in enumerate((1.0, -1.0, -0.6)):
        torch.testing.assert_close(prepared[:, channel], torch.full((2, 10, 10), value))


@pytest.mark.parametrize("resize", images.RESIZE_MODES)
def test_a_view_that_runs_backwards_is_prepared_like_its_copy(resize):
    bgr = np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)
    assert torch.equal(images.prepare(bgr[..., ::-1], 8, resize), images.prepare(bgr[..., ::-1].copy(), 8, resize))


def test_8_bit_images_survive_the_way_to_the_tokenizer_and_back():
    picture = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    assert (images.to_uint8(images.prepare(picture, 8, "bilinear")) == picture).all()


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((8, 8, 3)), "uint8 RGB images, got .* torch.float64"),
        (np.zeros((8, 8), np.uint8), r"uint8 RGB images, got \(8, 8\)"),
        (np.zeros((8, 8, 4), np.uint8), r"got \(8, 8, 4\)"),
        (np.zeros((0, 8, 3), np.uint8), "at least one pixel, got 0 x 8"),
    ],
)
def test_what_is_no_rgb_image_is_refused(picture, message):
    with pytest.raises(ValueError, match=message):
        images.prepare(picture, 8, "area")


def test_an_unknown_resize_mode_is_refused():
    with pytest.raises(ValueError, match="unknown resize mode 'cubic'; choose one of: bilinear, area"):
        images.prepare(np.zeros((8, 8, 3), np.uint8), 4, "cubic")
