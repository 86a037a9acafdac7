# SPDX-License-Identifier: Apache-2.0
"""Frames with readable labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

WHITE = (255, 255, 255)
GREY = (150, 150, 150)
GREEN = (90, 220, 110)
BACKGROUND = (24, 24, 28)

Colour = tuple[int, int, int]
Pixels = NDArray[np.uint8]


def blank(width: int, height: int) -> Image.Image:
    """Return an empty picture."""
    return Image.new("RGB", (width, height), BACKGROUND)


def scaled(frame: Pixels, size: int) -> Image.Image:
    """Return a frame (H, W, 3) as a square picture."""
    return Image.fromarray(np.ascontiguousarray(frame)).resize((size, size), Image.Resampling.BICUBIC)


def write(
    picture: Image.Image, x: int, y: int, text: str, size: int, colour: Colour = WHITE, anchor: str = "lm"
) -> None:
    """Write text at a position; the anchor is PIL's, left and middle by default."""
    ImageDraw.Draw(picture).text((x, y), text, fill=colour, font=ImageFont.load_default(size), anchor=anchor)


def frame_box(picture: Image.Image, x: int, y: int, size: int, colour: Colour, width: int = 3) -> None:
    """Draw a border around a square."""
    box = (x - width, y - width, x + size + width - 1, y + size + width - 1)
    ImageDraw.Draw(picture).rectangle(box, outline=colour, width=width)
