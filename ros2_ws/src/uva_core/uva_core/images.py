# SPDX-License-Identifier: Apache-2.0
"""Camera images to the tokenizer's input and back. The one place where pixels are scaled and resized."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from uva_core.devices import to_host

RESIZE_MODES = ("bilinear", "area")


def prepare(images: NDArray[np.uint8] | Tensor, size: int, resize: str) -> Tensor:
    """RGB images -> tokenizer input.

    Args:
        images: (..., H, W, 3) uint8, RGB.
        size: side of the result in pixels; images that are not square are cropped to the centred square first.
        resize: `bilinear` (corners not aligned, no antialiasing: the published way) or `area`.

    Returns:
        (..., 3, size, size) float32 in [-1, 1].

    Raises:
        ValueError: another dtype, shape or resize mode, or no pixels.
    """
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(np.ascontiguousarray(images))  # torch knows no views that run backwards
    height, width = _checked_size(images)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return to_signed(scale(to_unit(images[..., top : top + side, left : left + side, :]), size, resize))


def _checked_size(images: Tensor) -> tuple[int, int]:
    """Height and width of (..., H, W, 3) uint8 images."""
    if images.dtype != torch.uint8 or images.ndim < 3 or images.shape[-1] != 3:
        raise ValueError(f"expected (..., H, W, 3) uint8 RGB images, got {tuple(images.shape)} {images.dtype}")
    height, width = images.shape[-3:-1]
    if not height or not width:
        raise ValueError(f"expected images of at least one pixel, got {height} x {width}")
    return height, width


def to_unit(images: Tensor) -> Tensor:
    """(..., H, W, 3) uint8 -> (..., 3, H, W) float32 in [0, 1]."""
    return images.movedim(-1, -3).float() / 255


def to_signed(x: Tensor) -> Tensor:
    """Images in [0, 1] -> in [-1, 1], the tokenizer's range."""
    return x * 2 - 1


def scale(x: Tensor, size: int, resize: str) -> Tensor:
    """Resize float images to a square, whatever shape they had. (..., 3, H, W) -> (..., 3, size, size).

    Raises:
        ValueError: unknown resize mode.
    """
    if resize not in RESIZE_MODES:
        raise ValueError(f"unknown resize mode '{resize}'; choose one of: {', '.join(RESIZE_MODES)}")
    if x.shape[-2:] == (size, size):
        return x
    align = {"align_corners": False} if resize == "bilinear" else {}
    resized = F.interpolate(x.reshape(-1, *x.shape[-3:]), (size, size), mode=resize, **align)
    return resized.reshape(*x.shape[:-2], size, size)


def cover(images: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize 8-bit images until they just cover `height` x `width` pixels, and cut out the centre, as UMI does.

    Shrinks by pixel area and enlarges bilinearly, both rounded to 8 bits. (T, H, W, 3) -> (T, height, width, 3).

    Raises:
        ValueError: not (T, H, W, 3) uint8, or no pixels.
    """
    old_height, old_width = _checked_size(torch.as_tensor(images))
    if old_width * height >= width * old_height:
        new_height, new_width = height, math.ceil(height / old_height * old_width)
    else:
        new_height, new_width = math.ceil(width / old_width * old_height), width
    enlarged = new_height > old_height or new_width > old_width
    method = cv2.INTER_LINEAR if enlarged else cv2.INTER_AREA
    top, left = (new_height - height) // 2, (new_width - width) // 2
    resized = [cv2.resize(image, (new_width, new_height), interpolation=method) for image in images]
    return np.stack(resized)[:, top : top + height, left : left + width]


def to_uint8(x: Tensor) -> NDArray[np.uint8]:
    """Tokenizer output (..., 3, S, S) in [-1, 1] -> (..., S, S, 3) uint8 RGB."""
    pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return to_host(pixels.movedim(-3, -1))
