# SPDX-License-Identifier: Apache-2.0
"""ROS messages to NumPy arrays, for every node and for recordings. No ROS in here.

Metres, quaternions (x, y, z, w). What cannot be used is refused with a MessageError before it is converted. Messages
are read by the names of their fields: those of a recording are converted where no ROS is installed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

GRIPPER_JOINT = "gripper"
MOST_PIXELS = 2**24
"""An image of more pixels is refused: converting it would take seconds and gigabytes."""

_RGB_ENCODINGS = ("rgb8", "bgr8")
_MOST_TEXT = 60
_QUATERNION_TOLERANCE = 1e-3


class MessageError(ValueError):
    """A message that cannot be used; the text says which field and why."""


def printable(text: str) -> str:
    """Return text from outside as it may be logged or published: cut if long, control characters escaped."""
    cut = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in cut)


def shown(text: str) -> str:
    """Return text from outside in quotes, see `printable`."""
    return f"'{printable(text)}'"


def check_frame(frame: str, expected: str, what: str) -> None:
    """Check the frame of poses.

    Raises:
        MessageError: another frame than expected.
    """
    if frame != expected:
        raise MessageError(f"{what} is in frame {shown(frame)}, expected '{expected}'")


def pose_arrays(poses: Iterable[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions (T, 3) and quaternions (T, 4) of T geometry_msgs/Pose, as they are."""
    rows = [
        (p.position.x, p.position.y, p.position.z, p.orientation.x, p.orientation.y, p.orientation.z, p.orientation.w)
        for p in poses
    ]
    numbers = np.array(rows, np.float64).reshape(-1, 7)
    return numbers[:, :3], numbers[:, 3:]


def are_poses(positions: NDArray[np.float64], quaternions: NDArray[np.float64]) -> bool:
    """Tell whether positions (T, 3) are finite and quaternions (T, 4) have the length 1."""
    lengths = np.linalg.norm(quaternions, axis=-1)
    return bool(np.isfinite(positions).all() and (np.abs(lengths - 1.0) < _QUATERNION_TOLERANCE).all())


def eef_pose(message: Any, frame: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return position (3,) and unit quaternion (4,) of a measured EEF pose, a geometry_msgs/PoseStamped.

    Raises:
        MessageError: another frame than `frame`, NaN, or a quaternion that is not a unit one.
    """
    check_frame(message.header.frame_id, frame, "EEF pose")
    positions, quaternions = pose_arrays([message.pose])
    if not are_poses(positions, quaternions):
        raise MessageError(f"EEF pose has position {positions[0]}, quaternion {quaternions[0]}")
    return positions[0], quaternions[0]


def gripper_width(message: Any) -> float:
    """Return the gripper's opening [m] from a sensor_msgs/JointState.

    Raises:
        MessageError: no joint of that name, no position for it, or not finite.
    """
    names = list(message.name)
    if GRIPPER_JOINT not in names:
        raise MessageError(f"joint states have no '{GRIPPER_JOINT}', only {shown(', '.join(names))}")
    if len(message.position) != len(names):
        raise MessageError(f"joint states have {len(names)} names, but {len(message.position)} positions")
    width = float(message.position[names.index(GRIPPER_JOINT)])
    if not np.isfinite(width):
        raise MessageError(f"gripper width is {width}")
    return width


def check_image(message: Any) -> None:
    """Check the size that a sensor_msgs/Image claims against the bytes that came, before anything trusts it.

    Raises:
        MessageError: no pixels or too many, rows shorter than their pixels, fewer bytes than claimed, or big-endian.
    """
    size = f"an image of {message.width} x {message.height} {shown(message.encoding)}"
    if not 0 < message.width * message.height <= MOST_PIXELS:
        raise MessageError(f"{size} has {message.width * message.height} pixels, expected 1 to {MOST_PIXELS}")
    if message.is_bigendian and message.encoding not in _RGB_ENCODINGS:
        raise MessageError(f"{size} has is_bigendian={message.is_bigendian}, expected 0: little-endian")
    row = message.width * (3 if message.encoding in _RGB_ENCODINGS else 1)
    if message.step < row:
        raise MessageError(f"{size} has a step of {message.step} bytes, expected at least {row}")
    if len(message.data) < message.height * message.step:
        raise MessageError(
            f"{size} has {len(message.data)} bytes, expected {message.height * message.step}: it was truncated"
        )


def rgb_image(message: Any, bridge: Any = None) -> NDArray[np.uint8]:
    """Return the pixels of a sensor_msgs/Image as RGB, (H, W, 3).

    Args:
        message: the image; its rows may be padded where it is rgb8 or bgr8.
        bridge: a CvBridge for other encodings than these two; None: others are refused.

    Raises:
        MessageError: the image is malformed, or of an encoding that cannot become RGB.
    """
    check_image(message)
    height, width = message.height, message.width
    if message.encoding in _RGB_ENCODINGS:
        rows = np.frombuffer(message.data, np.uint8, height * message.step).reshape(height, message.step)
        pixels = rows[:, : 3 * width].reshape(height, width, 3)
        return pixels.copy() if message.encoding == "rgb8" else np.ascontiguousarray(pixels[..., ::-1])
    if bridge is None:
        raise MessageError(f"cannot read images of encoding {shown(message.encoding)}, only rgb8 and bgr8")
    try:
        pixels = np.asarray(bridge.imgmsg_to_cv2(message, "rgb8"))
    except Exception as error:  # CvBridgeError, and whatever NumPy and OpenCV raise inside of cv_bridge
        raise MessageError(
            f"an image of encoding {shown(message.encoding)} cannot become RGB: {shown(str(error))}"
        ) from error
    if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
        raise MessageError(f"an image of {width} x {height} became {pixels.shape} {pixels.dtype}")
    return pixels
