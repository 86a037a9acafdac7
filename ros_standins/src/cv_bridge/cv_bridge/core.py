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

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> Any:
        """Return the image as an array (H, W) or (H, W, C) in `desired_encoding`, or as it is.

        With passthrough the array may share memory with the message, otherwise it is a copy. As with the real one,
        the caller has to check the sizes: rows shorter than `width` make a narrower image, and an image without
        pixels is None in its own encoding, and cannot be converted to another.

        Raises:
            CvBridgeError: The encoding is unknown, or cannot be converted to the desired one.
            TypeError: The data is too short.
            ValueError: The claimed size is beyond what an array can have.
            AttributeError: The message is big-endian, and NumPy is 2 or newer.
        """
        source = _parse(img_msg.encoding)
        image = _view(img_msg, source)
        if desired_encoding == "passthrough":
            return image
        return _convert(image, source, desired_encoding)

    def cv2_to_imgmsg(self, cvim: NDArray, encoding: str = "passthrough", header: Any = None) -> Image:
        """Return `cvim` (H, W) or (H, W, C) as a message that says it is in `encoding`.

        With passthrough the encoding is the array's own, such as 8UC3. The pixels are never converted.

        Raises:
            TypeError: Not an array.
            CvBridgeError: The encoding is unknown, or does not fit the array's type and channels.
            KeyError: OpenCV has no such type, as for bool or int64.
            IndexError: The array has one dimension.
            ZeroDivisionError: The array has no rows.
        """
        if not isinstance(cvim, np.ndarray | np.generic):
            raise TypeError(f"expected a NumPy array, got {type(cvim).__name__}")
        message = Image(height=cvim.shape[0], width=cvim.shape[1])
        own = encodings.generic_name(cvim)
        message.encoding = own if encoding == "passthrough" else encoding
        wanted, actual = _parse(message.encoding), _parse(own)
        if (wanted.dtype, wanted.channels) != (actual.dtype, actual.channels):
            raise CvBridgeError(f"encoding '{encoding}' does not fit an image of type {own}")
        if header is not None:
            message.header = header
        message.is_bigendian = int(cvim.dtype.byteorder == ">")
        # An array.array is taken over as it is; any other sequence would be checked byte by byte.
        message.data = array("B", cvim.tobytes())
        message.step = len(message.data) // message.height
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
        return _convert(image, _parse("bgr8"), desired_encoding)

    def cv2_to_compressed_imgmsg(self, cvim: NDArray, dst_format: str = "jpg") -> CompressedImage:
        """Encode a grey or BGR image (H, W) or (H, W, 3) as jpg, png, or what else OpenCV writes."""
        if not isinstance(cvim, np.ndarray):
            raise TypeError(f"expected a NumPy array, got {type(cvim).__name__}")
        try:
            _, encoded = cv2.imencode(f".{dst_format}", cvim)
        except cv2.error as error:
            raise CvBridgeError(f"cannot encode an image of {cvim.dtype} {cvim.shape} as '{dst_format}'") from error
        return CompressedImage(format=dst_format, data=array("B", encoded.tobytes()))


def getCvType(encoding: str) -> int:  # noqa: N802 - the real one's name
    """Return OpenCV's number for the type of an encoding's pixels. Raises RuntimeError for an unknown one."""
    try:
        known = encodings.parse(encoding)
    except ValueError as error:
        raise RuntimeError(str(error)) from error
    return int(getattr(cv2, f"CV_{encodings.depth_name(known.dtype)}C")(known.channels))


def cvtColorForDisplay(  # noqa: N802 - the real one's name
    source: NDArray,
    encoding_in: str,
    encoding_out: str,
    do_dynamic_scaling: bool = False,
    min_image_value: float = 0.0,
    max_image_value: float = 0.0,
    colormap: int = -1,
) -> NDArray:
    """Return the image (H, W) or (H, W, C) with 8 bits a channel, for people to look at.

    Args:
        source: Its own values.
        encoding_in: What they mean. 16UC1 is taken as mono16, and labels (32SC1) cannot be shown.
        encoding_out: A colour or mono encoding of 8 bits, or "": bgr8.
        do_dynamic_scaling: Scale from the least to the greatest finite value instead of the two that follow.
        min_image_value: What becomes black, in an image of one channel. No scaling where both are equal.
        max_image_value: What becomes white.
        colormap: One of OpenCV's cv2.COLORMAP_..., for an image that is scaled. -1: grey.

    Raises:
        RuntimeError: One of the encodings cannot be shown, or an image of several channels is to be scaled.
    """
    try:
        known, wanted = encodings.parse(encoding_in), encodings.parse(encoding_out or "bgr8")
        if not wanted.layout or wanted.dtype != np.uint8:
            raise ValueError(f"'{wanted.name}' is not a colour or mono encoding of 8 bits")
        if do_dynamic_scaling:
            finite = source[np.isfinite(source)]
            min_image_value, max_image_value = float(finite.min()), float(finite.max())
            if min_image_value == max_image_value:
                return np.full((*source.shape[:2], 3), 128, np.uint8)
        if min_image_value == max_image_value:
            return encodings.convert(source, encodings.parse({"16UC1": "mono16"}.get(known.name, known.name)), wanted)
        if known.channels != 1:
            raise ValueError(f"'{known.name}' has {known.channels} channels, only one can be scaled")
        scaled = (source - min_image_value) * (255.0 / (max_image_value - min_image_value))
        grey = np.clip(np.rint(np.nan_to_num(scaled)), 0, 255).astype(np.uint8)
        if colormap == -1:
            return encodings.convert(grey, encodings.parse("mono8"), wanted)
        coloured = cv2.applyColorMap(grey, colormap)
        coloured[np.isnan(source)] = 0
        return encodings.convert(coloured, encodings.parse("bgr8"), wanted)
    except (ValueError, cv2.error) as error:
        raise RuntimeError(str(error)) from error


def _parse(name: str) -> encodings.Encoding:
    try:
        return encodings.parse(name)
    except ValueError as error:
        raise CvBridgeError(str(error)) from error


def _convert(image: NDArray, source: encodings.Encoding, desired_encoding: str) -> Any:
    if not image.size and source.name == desired_encoding:
        return None  # as the real one does
    try:
        return encodings.convert(image, source, encodings.parse(desired_encoding))
    except (ValueError, cv2.error) as error:
        raise CvBridgeError(str(error)) from error


def _view(message: Image, encoding: encodings.Encoding) -> NDArray:
    """Return the message's pixels in native byte order, without the padding at the ends of rows."""
    columns = message.step // encoding.dtype.itemsize // encoding.channels
    shape = (message.height, columns, encoding.channels)[: 2 if encoding.channels == 1 else 3]
    dtype = encoding.dtype.newbyteorder(">" if message.is_bigendian else "<")
    image: Any = np.ascontiguousarray(np.ndarray(shape, dtype, message.data)[:, : message.width])
    # The real one calls this method, which NumPy 2 no longer has.
    return image.byteswap().newbyteorder() if message.is_bigendian else image
