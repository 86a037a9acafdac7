# SPDX-License-Identifier: Apache-2.0
"""prediction.png: history, true future and predicted future in one picture along one time line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL.Image import Image

from uva_replay import pictures
from uva_replay.prediction import Frame, Prediction

FRAME_SIZE = 224
GAP = 12
MARGIN = 24
HEADER_HEIGHT = 64
TIME_HEIGHT = 44
TEXT_SIZE = 30
BLUE = (110, 180, 255)


def draw_prediction(prediction: Prediction, title: str) -> Image:
    """Draw the true frames above and the predicted ones below, each pair under the time it shows.

    There may be fewer true ones: an episode can end before the prediction does.
    """
    cell = FRAME_SIZE + GAP
    rows_y = (MARGIN + HEADER_HEIGHT + TIME_HEIGHT, MARGIN + HEADER_HEIGHT + TIME_HEIGHT + cell)
    future_x = MARGIN + len(prediction.history) * cell + 2 * GAP
    picture = pictures.blank(
        future_x + len(prediction.predicted) * cell - GAP + MARGIN, rows_y[1] + FRAME_SIZE + MARGIN
    )
    pictures.write(picture, MARGIN, MARGIN + HEADER_HEIGHT // 3, title, TEXT_SIZE)
    _draw_row(picture, prediction.history, MARGIN, rows_y[0], pictures.GREY, with_times=True)
    _draw_row(picture, prediction.true, future_x, rows_y[0], pictures.GREEN, with_times=True)
    _draw_row(picture, prediction.predicted, future_x, rows_y[1], BLUE, with_times=False)
    right, middle = future_x - 3 * GAP, rows_y[1] + FRAME_SIZE // 2
    labels = (
        ("history: what the model was given", pictures.GREY),
        ("above: what the camera then saw", pictures.GREEN),
        ("right: what the model had predicted", BLUE),
    )
    for number, (text, colour) in enumerate(labels):
        y = middle + (number - 1) * int(1.6 * TEXT_SIZE)
        pictures.write(picture, right, y, text, TEXT_SIZE, colour, anchor="rm")
    return picture


def write_prediction(prediction: Prediction, title: str, path: Path) -> None:
    """Write the picture as PNG."""
    draw_prediction(prediction, title).save(path)


def _draw_row(
    picture: Image, frames: Sequence[Frame], x: int, y: int, colour: pictures.Colour, *, with_times: bool
) -> None:
    for frame in frames:
        pictures.frame_box(picture, x, y, FRAME_SIZE, colour)
        picture.paste(pictures.scaled(frame.image, FRAME_SIZE), (x, y))
        if with_times:
            time = "now" if abs(frame.offset_s) < 0.01 else f"{frame.offset_s:+.1f} s"
            pictures.write(picture, x + FRAME_SIZE // 2, y - TIME_HEIGHT // 2, time, TEXT_SIZE, colour, anchor="mm")
        x += FRAME_SIZE + GAP
