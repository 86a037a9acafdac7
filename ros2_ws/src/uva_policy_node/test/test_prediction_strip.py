# SPDX-License-Identifier: Apache-2.0
"""History and predicted frames in one picture."""

import numpy as np

from uva_policy_node.prediction_strip import CELL_PX, GAP_PX, LABEL_PX, strip


def test_a_strip_shows_every_frame_under_a_label():
    history = np.full((4, 8, 8, 3), 10, np.uint8)
    predicted = np.full((4, 8, 8, 3), 200, np.uint8)
    picture = strip(history, [-1.2, -0.8, -0.4, 0.0], predicted, [0.4, 0.8, 1.2, 1.6])
    assert picture.shape == (LABEL_PX + CELL_PX, 8 * (CELL_PX + GAP_PX), 3)
    assert (picture[LABEL_PX + 5, 5] == 10).all()
    assert (picture[LABEL_PX + 5, 7 * (CELL_PX + GAP_PX) + 5] == 200).all()
    assert (picture[:LABEL_PX] != 255).any()
