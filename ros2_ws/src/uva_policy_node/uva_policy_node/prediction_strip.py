# SPDX-License-Identifier: Apache-2.0
"""History and predicted frames side by side in one picture, each with its time."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

CELL_PX = 160
LABEL_PX = 22
GAP_PX = 4
BACKGROUND, HISTORY_COLOUR, PREDICTION_COLOUR = (255, 255, 255), (90, 90, 90), (0, 90, 200)


def labelled(frame: NDArray[np.uint8], text: str, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return an RGB frame (S, S, 3), enlarged, with a line of text above it."""
    cell = np.full((LABEL_PX + CELL_PX, CELL_PX + GAP_PX, 3), BACKGROUND, np.uint8)
    cell[LABEL_PX:, :CELL_PX] = cv2.resize(frame, (CELL_PX, CELL_PX), interpolation=cv2.INTER_NEAREST)
    cv2.putText(cell, text, (2, LABEL_PX - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
    return cell


def strip(
    history: NDArray[np.uint8], history_s: Sequence[float], predicted: NDArray[np.uint8], predicted_s: Sequence[float]
) -> NDArray[np.uint8]:
    """Draw frames (h, S, S, 3) and (f, S, S, 3) in a row, each with its time relative to now [s]."""
    cells = [labelled(f, f"{t:+.1f} s", HISTORY_COLOUR) for f, t in zip(history, history_s, strict=True)]
    cells += [
        labelled(f, f"{t:+.1f} s predicted", PREDICTION_COLOUR) for f, t in zip(predicted, predicted_s, strict=True)
    ]
    return np.concatenate(cells, axis=1)
