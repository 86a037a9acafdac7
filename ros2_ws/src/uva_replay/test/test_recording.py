# SPDX-License-Identifier: Apache-2.0
"""Bags are read as they were written."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from uva_replay.recording import Recording

STORE = get_typestore(Stores.ROS2_KILTED)
IMAGE_TYPE = "sensor_msgs/msg/Image"


def image(time_s: float, pixels: np.ndarray, encoding: str):
    types = STORE.types
    header = types["std_msgs/msg/Header"](
        stamp=types["builtin_interfaces/msg/Time"](sec=int(time_s), nanosec=round(time_s % 1 * 1e9)), frame_id=""
    )
    height, width = pixels.shape[:2]
    padded = np.zeros((height, width * 3 + 2), np.uint8)  # rows may be longer than their pixels
    padded[:, : width * 3] = pixels.reshape(height, -1)
    return types[IMAGE_TYPE](
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=padded.shape[1],
        data=padded.reshape(-1),
    )


def write_bag(path: Path, images: list) -> Path:
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/camera/image_raw", IMAGE_TYPE, typestore=STORE)
        for message in images:
            stamp = message.header.stamp
            receipt_ns = stamp.sec * 10**9 + stamp.nanosec + 10**7
            writer.write(connection, receipt_ns, STORE.serialize_cdr(message, IMAGE_TYPE))
    return path


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_images_are_read_as_rgb_with_their_stamps(tmp_path, encoding):
    rgb = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    stored = rgb if encoding == "rgb8" else rgb[..., ::-1]
    bag = write_bag(tmp_path / "bag", [image(t, stored, encoding) for t in (1.0, 1.5, 2.0, 2.5)])
    with Recording(bag) as recording:
        found = list(recording.images("/camera/image_raw", 1.25, 2.25))
        assert list(recording.images("/other", 0.0, 9.0)) == []
    assert [stamp_s for stamp_s, _ in found] == [1.5, 2.0]
    assert np.array_equal(found[0][1], rgb)
    assert torch.as_tensor(found[0][1]).shape == rgb.shape  # refuses negative strides


def test_unknown_encoding_is_named(tmp_path):
    bag = write_bag(tmp_path / "bag", [image(1.0, np.zeros((2, 2, 3), np.uint8), "yuv422")])
    with Recording(bag) as recording, pytest.raises(ValueError, match="encoding 'yuv422', only rgb8 and bgr8"):
        list(recording.images("/camera/image_raw", 0.0, 2.0))


def test_a_truncated_image_is_refused(tmp_path):
    message = image(1.0, np.zeros((2, 2, 3), np.uint8), "rgb8")
    message.data = message.data[:-1]
    bag = write_bag(tmp_path / "bag", [message])
    with Recording(bag) as recording, pytest.raises(ValueError, match="has 15 bytes, expected 16: it was truncated"):
        list(recording.images("/camera/image_raw", 0.0, 2.0))


def test_topics_are_found_by_their_relative_names(tmp_path):
    bag = write_bag(tmp_path / "bag", [image(1.0, np.zeros((2, 2, 3), np.uint8), "rgb8")])
    with Recording(bag) as recording:
        assert len(list(recording.messages("camera/image_raw", 0.0, 2.0))) == 1
