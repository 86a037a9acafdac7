# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

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
