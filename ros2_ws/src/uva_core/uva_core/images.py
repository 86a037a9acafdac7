# SPDX-License-Identifier: Apache-2.0
"""Camera images to the tokenizer's input and back. The one place where pixels are scaled and resized."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from uva_core.config import RESIZE_MODES


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
    if resize not in RESIZE_MODES:
        raise ValueError(f"unknown resize mode '{resize}'; choose one of: {', '.join(RESIZE_MODES)}")
    images = torch.as_tensor(images)
    if images.dtype != torch.uint8 or images.ndim < 3 or images.shape[-1] != 3:
        raise ValueError(f"expected (..., H, W, 3) uint8 RGB images, got {tuple(images.shape)} {images.dtype}")
    height, width = images.shape[-3:-1]
    side = min(height, width)
    if not side:
        raise ValueError(f"expected images of at least one pixel, got {height} x {width}")
    top, left = (height - side) // 2, (width - side) // 2
    images = images[..., top : top + side, left : left + side, :]
    x = images.reshape(-1, side, side, 3).permute(0, 3, 1, 2).float() / 255
    if side != size:
        align = {"align_corners": False} if resize == "bilinear" else {}
        x = F.interpolate(x, (size, size), mode=resize, **align)
    return (x * 2 - 1).reshape(*images.shape[:-3], 3, size, size)


def to_uint8(x: Tensor) -> NDArray[np.uint8]:
    """Tokenizer output (..., 3, S, S) in [-1, 1] -> (..., S, S, 3) uint8 RGB."""
    pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return np.asarray(pixels.movedim(-3, -1).cpu().numpy())
