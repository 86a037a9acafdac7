# SPDX-License-Identifier: Apache-2.0
"""Reads a recorded bag: images, poses and messages between two times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader

_NS_PER_S = 1_000_000_000
# Between a message's stamp and its receipt: images are looked for this much longer.
_RECEIPT_MARGIN_S = 0.5


class Recording:
    """An open bag; all times are in seconds since 1970, as in ROS time without simulation."""

    def __init__(self, path: Path) -> None:
        """Prepare to read the bag in a folder."""
        self._reader = AnyReader([path])

    def __enter__(self) -> Recording:
        """Open the bag."""
        self._reader.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bag."""
        self._reader.close()

    def messages(self, topic: str, start_s: float, end_s: float) -> Iterator[tuple[float, Any]]:
        """Yield (receipt time, message) of a topic, in order of receipt."""
        connections = [c for c in self._reader.connections if c.topic == topic]
        if not connections:
            return
        limits = {"start": round(start_s * _NS_PER_S), "stop": round(end_s * _NS_PER_S)}
        for connection, receipt_ns, data in self._reader.messages(connections, **limits):
            yield receipt_ns / _NS_PER_S, self._reader.deserialize(data, connection.msgtype)

    def images(self, topic: str, start_s: float, end_s: float) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Yield (stamp, RGB image (H, W, 3)) of the images stamped between two times."""
        for _, message in self.messages(topic, start_s, end_s + _RECEIPT_MARGIN_S):
            stamp_s = stamp_of(message)
            if start_s <= stamp_s <= end_s:
                yield stamp_s, rgb_image(message)


def stamp_of(message: Any) -> float:
    """Return the header's stamp of a message in seconds."""
    return float(message.header.stamp.sec + message.header.stamp.nanosec * 1e-9)


def rgb_image(message: Any) -> NDArray[np.uint8]:
    """Return the pixels of a sensor_msgs/Image as RGB, (H, W, 3).

    Raises:
        ValueError: The image is neither rgb8 nor bgr8.
    """
    if message.encoding not in ("rgb8", "bgr8"):
        raise ValueError(f"cannot read images of encoding {message.encoding}, only rgb8 and bgr8")
    rows = np.array(message.data, np.uint8).reshape(message.height, message.step)
    pixels = rows[:, : message.width * 3].reshape(message.height, message.width, 3)
    return np.ascontiguousarray(pixels[..., ::-1]) if message.encoding == "bgr8" else pixels
