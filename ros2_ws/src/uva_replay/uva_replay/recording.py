# SPDX-License-Identifier: Apache-2.0
"""Read a recorded bag: images, poses and messages between two times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader

from uva_node_utils.conversions import rgb_image
from uva_node_utils.topics import absolute

_NS_PER_S = 1_000_000_000
# An image may be received this much later than its stamp.
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
        """Yield (receipt time [s], message) of a topic, in order of receipt. The name may lack its leading slash."""
        connections = [c for c in self._reader.connections if c.topic == absolute(topic)]
        if not connections:
            return
        limits = {"start": round(start_s * _NS_PER_S), "stop": round(end_s * _NS_PER_S)}
        for connection, receipt_ns, data in self._reader.messages(connections, **limits):
            yield receipt_ns / _NS_PER_S, self._reader.deserialize(data, connection.msgtype)

    def images(self, topic: str, start_s: float, end_s: float) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Yield (stamp [s], RGB image (H, W, 3)) of the rgb8 and bgr8 images stamped between two times.

        Raises:
            MessageError: an image is malformed, or of another encoding.
        """
        for _, message in self.messages(topic, start_s, end_s + _RECEIPT_MARGIN_S):
            stamp_s = stamp_of(message)
            if start_s <= stamp_s <= end_s:
                yield stamp_s, rgb_image(message)


def stamp_of(message: Any) -> float:
    """Return the header's stamp of a message in seconds."""
    return float(message.header.stamp.sec + message.header.stamp.nanosec * 1e-9)
