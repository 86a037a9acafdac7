# SPDX-License-Identifier: Apache-2.0
"""CvBridge: sensor_msgs/Image and CompressedImage to and from OpenCV arrays."""

from __future__ import annotations

from array import array
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from cv_bridge import encodings


class CvBridgeError(TypeError):
    """A conversion is not possible."""


class CvBridge:
    """Converter without state. One instance serves any number of topics and threads."""

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> NDArray:
        """Return the image as an array (H, W) or (H, W, C) in `desired_encoding`, or as it is.

        With passthrough the array may share memory with the message, otherwise it is a copy. Raises
        CvBridgeError for an encoding that is unknown or cannot be reached from the message's, and for a
        message whose data is too short.
        """
        try:
            source = encodings.parse(img_msg.encoding)
            image = _view(img_msg, source)
            if desired_encoding == "passthrough":
                return image
            return encodings.convert(image, source, encodings.parse(desired_encoding))
        except (ValueError, cv2.error) as error:
            raise CvBridgeError(str(error)) from error

    def cv2_to_imgmsg(self, cvim: NDArray, encoding: str = "passthrough", header: Any = None) -> Image:
        """Return `cvim` (H, W) or (H, W, C) as a message that says it is in `encoding`.

        With passthrough the encoding is the array's own, such as 8UC3. The pixels are never converted: an
        encoding that does not fit the array's type and channels raises CvBridgeError, and anything but an
        array TypeError.
        """
        if not isinstance(cvim, np.ndarray):
            raise TypeError(f"expected a NumPy array, got {type(cvim).__name__}")
        try:
            own = encodings.generic_name(cvim)
            if encoding == "passthrough":
                encoding = own
            wanted = encodings.parse(encoding)
        except ValueError as error:
            raise CvBridgeError(str(error)) from error
        actual = encodings.parse(own)
        if (wanted.dtype, wanted.channels) != (actual.dtype, actual.channels):
            raise CvBridgeError(f"encoding '{encoding}' does not fit an image of type {own}")
        message = Image(height=cvim.shape[0], width=cvim.shape[1], encoding=encoding)
        if header is not None:
            message.header = header
        message.is_bigendian = int(cvim.dtype.byteorder == ">")
        message.step = cvim.shape[1] * actual.channels * actual.dtype.itemsize
        # An array.array is taken over as it is; any other sequence would be checked byte by byte.
        message.data = array("B", cvim.tobytes())
        return message

    def compressed_imgmsg_to_cv2(
        self, cmprs_img_msg: CompressedImage, desired_encoding: str = "passthrough"
    ) -> NDArray:
        """Decode a JPEG, PNG, ... message. Colour comes as BGR, or in `desired_encoding`."""
        image = cv2.imdecode(np.frombuffer(cmprs_img_msg.data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise CvBridgeError(f"cannot decode {len(cmprs_img_msg.data)} bytes of '{cmprs_img_msg.format}'")
        if desired_encoding == "passthrough":
            return image
        try:
            return encodings.convert(image, encodings.parse("bgr8"), encodings.parse(desired_encoding))
        except (ValueError, cv2.error) as error:
            raise CvBridgeError(str(error)) from error

    def cv2_to_compressed_imgmsg(self, cvim: NDArray, dst_format: str = "jpg") -> CompressedImage:
        """Encode a grey or BGR image (H, W) or (H, W, 3) as jpg, png, or what else OpenCV writes."""
        if not isinstance(cvim, np.ndarray):
            raise TypeError(f"expected a NumPy array, got {type(cvim).__name__}")
        try:
            _, encoded = cv2.imencode(f".{dst_format}", cvim)
        except cv2.error as error:
            raise CvBridgeError(f"cannot encode an image of {cvim.dtype} {cvim.shape} as '{dst_format}'") from error
        return CompressedImage(format=dst_format, data=array("B", encoded.tobytes()))


def _view(message: Image, encoding: encodings.Encoding) -> NDArray:
    """Return the message's pixels in native byte order, without the padding at the ends of rows."""
    row_bytes = message.width * encoding.channels * encoding.dtype.itemsize
    needed = message.height * message.step
    if message.step < row_bytes or len(message.data) < needed:
        raise ValueError(
            f"{message.width}x{message.height} '{encoding.name}' with step {message.step} needs rows of"
            f" {row_bytes} and {needed} bytes, got {len(message.data)}"
        )
    rows = np.frombuffer(message.data, dtype=np.uint8, count=needed).reshape(message.height, message.step)
    dtype = encoding.dtype.newbyteorder(">" if message.is_bigendian else "<")
    image = np.ascontiguousarray(rows[:, :row_bytes]).view(dtype).astype(encoding.dtype, copy=False)
    if encoding.channels > 1:
        image = image.reshape(message.height, message.width, encoding.channels)
    return image
