# SPDX-License-Identifier: Apache-2.0
"""The picture of a made-up prediction."""

import numpy as np
import pytest

from uva_replay.prediction import Frame, Prediction
from uva_replay.prediction_picture import draw_prediction

FUTURE_S = (0.4, 0.8, 1.2, 1.6)


def frames(offsets_s, grey):
    return [Frame(offset_s, np.full((64, 64, 3), grey, np.uint8)) for offset_s in offsets_s]


def test_picture_puts_predicted_frames_under_the_true_ones():
    prediction = Prediction(frames((-1.2, -0.8, -0.4, 0.0), 80), frames(FUTURE_S, 240), frames(FUTURE_S, 160))
    pixels = np.asarray(draw_prediction(prediction, "seed 20000"))
    true_columns = np.flatnonzero((pixels == 160).all(-1).sum(0) > 100)
    predicted_columns = np.flatnonzero((pixels == 240).all(-1).sum(0) > 100)
    assert true_columns.size == predicted_columns.size > 4 * 200
    assert np.array_equal(true_columns, predicted_columns)
    true_rows, predicted_rows = (np.flatnonzero((pixels == grey).all(-1).sum(1) > 100) for grey in (160, 240))
    assert predicted_rows.min() > true_rows.max()


def test_picture_may_show_fewer_true_frames_than_predicted_ones():
    prediction = Prediction(frames((-0.4, 0.0), 80), frames(FUTURE_S, 240), frames(FUTURE_S[:2], 160))
    pixels = np.asarray(draw_prediction(prediction, "seed 20000"))
    true, predicted = ((pixels == grey).all(-1).sum() for grey in (160, 240))
    assert predicted == pytest.approx(2 * true, rel=0.01)  # text has these greys, too
