# SPDX-License-Identifier: Apache-2.0
"""What the encoding strings of sensor_msgs/Image mean, and how to get from one to another."""

from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_DEPTHS = {
    "8U": np.uint8, "8S": np.int8, "16U": np.uint16, "16S": np.int16,
    "32S": np.int32, "32F": np.float32, "64F": np.float64,
}  # fmt: skip
_DEPTH_NAMES = {np.dtype(dtype): name for name, dtype in _DEPTHS.items()}
_GENERIC = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)(?:C([1-9]\d*))?")

# Names with a colour meaning: name -> (layout as OpenCV calls it, channels, bits a channel)
_COLOURS = {
    f"{name}{bits}": (layout, channels, bits)
    for name, layout, channels in (
        ("mono", "GRAY", 1),
        ("rgb", "RGB", 3),
        ("bgr", "BGR", 3),
        ("rgba", "RGBA", 4),
        ("bgra", "BGRA", 4),
    )
    for bits in (8, 16)
}


@dataclass(frozen=True)
class Encoding:
    """An encoding taken apart. `layout` is empty when the numbers have no colour meaning, as in 32FC1."""

    name: str
    dtype: np.dtype
    channels: int
    layout: str = ""


def parse(name: str) -> Encoding:
    """Take an encoding string apart. Raises ValueError for one outside the subset."""
    if name in _COLOURS:
        layout, channels, bits = _COLOURS[name]
        return Encoding(name, np.dtype(f"uint{bits}"), channels, layout)
    if match := _GENERIC.fullmatch(name):
        return Encoding(name, np.dtype(_DEPTHS[match[1]]), int(match[2] or 1))
    raise ValueError(f"unknown encoding '{name}': known are {', '.join(_COLOURS)} and generic ones like 8UC3, 32FC1")


def depth_name(dtype: np.dtype) -> str:
    """Return OpenCV's name of a type, for example 8U. Raises KeyError for one that OpenCV does not have."""
    return _DEPTH_NAMES[dtype.newbyteorder("=")]


def generic_name(image: NDArray) -> str:
    """Return the generic encoding of an array (H, W) or (H, W, C), for example 8UC3."""
    return f"{depth_name(image.dtype)}C{image.shape[2] if image.ndim > 2 else 1}"


def convert(image: NDArray, source: Encoding, target: Encoding) -> NDArray:
    """Convert `image` into a new array. Raises ValueError where a conversion would be a guess."""
    if source.name == target.name:
        return image.copy()
    if target.layout and not source.layout:
        raise ValueError(f"'{source.name}' says nothing about colour, so it cannot become '{target.name}'")
    if source.layout and target.layout:
        if source.layout != target.layout:
            image = cv2.cvtColor(image, getattr(cv2, f"COLOR_{source.layout}2{target.layout}"))
    elif source.channels != target.channels:
        raise ValueError(f"'{source.name}' and '{target.name}' differ in their number of channels")
    return _change_depth(image, target.dtype)


def _change_depth(image: NDArray, dtype: np.dtype) -> NDArray:
    """Change the type. Between 8 and 16 bits white stays white, otherwise the numbers stay if they fit."""
    scale = {(1, 2): 65535 / 255, (2, 1): 255 / 65535}.get((image.dtype.itemsize, dtype.itemsize), 1.0)
    if dtype.kind == "f":
        return image.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(image * scale), limits.min, limits.max).astype(dtype)
