# SPDX-License-Identifier: Apache-2.0
"""What the nodes rely on in cv_bridge. Holds for the stand-in and for the real package alike."""

import contextlib
from array import array

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from cv_bridge import CvBridge, CvBridgeError, cvtColorForDisplay, getCvType

BRIDGE = CvBridge()
NUMPY_2 = int(np.__version__.partition(".")[0]) >= 2
RED_RGB = np.full((2, 3, 3), (255, 0, 0), np.uint8)


def message(encoding: str, height: int, width: int, step: int, data: bytes, is_bigendian: int = 0) -> Image:
    return Image(
        encoding=encoding,
        height=height,
        width=width,
        step=step,
        data=array("B", data),
        is_bigendian=is_bigendian,
    )


@pytest.mark.parametrize(
    ("encoding", "dtype", "channels"),
    [
        ("rgb8", np.uint8, 3),
        ("bgr8", np.uint8, 3),
        ("rgba8", np.uint8, 4),
        ("bgra8", np.uint8, 4),
        ("mono8", np.uint8, 1),
        ("mono16", np.uint16, 1),
        ("8UC1", np.uint8, 1),
        ("8UC2", np.uint8, 2),
        ("8UC3", np.uint8, 3),
        ("8UC4", np.uint8, 4),
        ("16UC1", np.uint16, 1),
        ("32FC1", np.float32, 1),
    ],
)
def test_round_trip_keeps_pixels_and_describes_them(encoding, dtype, channels):
    shape = (4, 5) if channels == 1 else (4, 5, channels)
    image = (np.random.default_rng(0).random(shape) * 250).astype(dtype)
    header = Header(frame_id="camera")
    sent = BRIDGE.cv2_to_imgmsg(image, encoding, header=header)
    assert (sent.height, sent.width, sent.encoding, sent.header) == (4, 5, encoding, header)
    assert sent.step == 5 * channels * image.itemsize
    assert not sent.is_bigendian
    received = BRIDGE.imgmsg_to_cv2(sent)
    assert received.dtype == image.dtype
    np.testing.assert_array_equal(received, image)


@pytest.mark.parametrize(
    ("shape", "dtype", "encoding"),
    [
        ((4, 5), np.uint8, "8UC1"),
        ((4, 5, 3), np.uint8, "8UC3"),
        ((4, 5), np.float32, "32FC1"),
        ((4, 5), np.uint16, "16UC1"),
    ],
)
def test_passthrough_names_the_array_type(shape, dtype, encoding):
    assert BRIDGE.cv2_to_imgmsg(np.zeros(shape, dtype)).encoding == encoding


@pytest.mark.parametrize(
    ("source", "target", "pixel"),
    [
        ("rgb8", "bgr8", (0, 0, 255)),
        ("rgb8", "rgb8", (255, 0, 0)),
        ("rgb8", "rgba8", (255, 0, 0, 255)),
        ("rgb8", "bgra8", (0, 0, 255, 255)),
        ("bgr8", "rgb8", (0, 0, 255)),
        ("rgb8", "mono8", 76),
        ("bgr8", "mono8", 29),
        ("rgb8", "mono16", 76 * 257),
        ("rgb8", "8UC3", (255, 0, 0)),
    ],
)
def test_colour_conversions(source, target, pixel):
    sent = BRIDGE.cv2_to_imgmsg(RED_RGB, source)
    received = BRIDGE.imgmsg_to_cv2(sent, desired_encoding=target)
    np.testing.assert_array_equal(received, np.broadcast_to(pixel, received.shape))
    assert received.shape[:2] == (2, 3)
    assert received.dtype == (np.uint16 if target == "mono16" else np.uint8)


def test_grey_becomes_colour_and_alpha_goes():
    grey = BRIDGE.cv2_to_imgmsg(np.full((2, 3), 7, np.uint8), "mono8")
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(grey, "bgr8"), np.full((2, 3, 3), 7))
    rgba = BRIDGE.cv2_to_imgmsg(np.full((2, 3, 4), (1, 2, 3, 4), np.uint8), "rgba8")
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(rgba, "bgr8"), np.full((2, 3, 3), (3, 2, 1)))


@pytest.mark.parametrize(
    ("source", "target", "values", "expected"),
    [
        ("mono16", "mono8", [0, 65535, 32768], [0, 255, 128]),
        ("mono8", "mono16", [0, 255, 1], [0, 65535, 257]),
        ("16UC1", "8UC1", [0, 65535, 257], [0, 255, 1]),
        ("16UC1", "32FC1", [0, 65535, 1000], [0, 65535, 1000]),
        ("32FC1", "16UC1", [-1, 70000, 1000.4], [0, 65535, 1000]),
    ],
)
def test_depth_conversions(source, target, values, expected):
    dtype = {"mono8": np.uint8, "32FC1": np.float32}.get(source, np.uint16)
    sent = BRIDGE.cv2_to_imgmsg(np.array([values], dtype), source)
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(sent, target), [expected])


def test_padding_at_the_ends_of_rows_is_cut():
    rows = message("mono8", 2, 3, 4, bytes([1, 2, 3, 99, 4, 5, 6, 99]))
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(rows), [[1, 2, 3], [4, 5, 6]])
    colour = message("rgb8", 2, 1, 6, bytes([1, 2, 3, 99, 99, 99, 4, 5, 6, 99, 99, 99]))
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(colour, "bgr8"), [[[3, 2, 1]], [[6, 5, 4]]])


def test_big_endian_messages_come_in_native_order_or_not_at_all():
    sent = message("16UC1", 1, 2, 4, bytes([1, 2, 0, 7]), is_bigendian=1)
    if NUMPY_2:
        with pytest.raises(AttributeError, match="newbyteorder"):
            BRIDGE.imgmsg_to_cv2(sent)
    else:
        np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(sent), [[0x0102, 7]])


def test_big_endian_arrays_are_marked():
    sent = BRIDGE.cv2_to_imgmsg(np.array([[0x0102, 7]], ">u2"), "mono16")
    assert sent.is_bigendian
    assert bytes(sent.data) == bytes([1, 2, 0, 7])


def test_a_converted_image_does_not_share_memory_with_the_message():
    sent = BRIDGE.cv2_to_imgmsg(RED_RGB, "rgb8")
    BRIDGE.imgmsg_to_cv2(sent, "rgb8")[:] = 0
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(sent), RED_RGB)


def test_part_of_an_array_can_be_sent():
    image = np.arange(24, dtype=np.uint8).reshape(4, 6)
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image[1:3, ::2], "mono8")), image[1:3, ::2])


@pytest.mark.parametrize(
    ("image", "encoding"),
    [
        (np.zeros((2, 2), np.uint8), "bgr8"),
        (np.zeros((2, 2, 3), np.uint16), "rgb8"),
        (np.zeros((2, 2), np.uint8), "32FC1"),
        (np.zeros((2, 2), np.uint8), "no_such_encoding"),
    ],
)
def test_an_encoding_that_does_not_fit_the_array_is_refused(image, encoding):
    with pytest.raises(CvBridgeError):
        BRIDGE.cv2_to_imgmsg(image, encoding)


@pytest.mark.parametrize("method", [BRIDGE.cv2_to_imgmsg, BRIDGE.cv2_to_compressed_imgmsg])
def test_only_arrays_are_taken(method):
    with pytest.raises(TypeError):
        method([[0, 1]])


@pytest.mark.parametrize(
    ("source", "target"),
    [("32FC1", "mono8"), ("8UC3", "rgb8"), ("rgb8", "8UC1"), ("rgb8", "no_such_encoding"), ("16UC1", "8UC3")],
)
def test_a_conversion_that_would_be_a_guess_is_refused(source, target):
    dtype = {"32FC1": np.float32, "16UC1": np.uint16}.get(source, np.uint8)
    sent = BRIDGE.cv2_to_imgmsg(np.zeros((2, 2) if source.endswith("C1") else (2, 2, 3), dtype), source)
    with pytest.raises(CvBridgeError):
        BRIDGE.imgmsg_to_cv2(sent, target)


@pytest.mark.parametrize(
    ("claimed", "error"),
    [
        ((4, 4, 12), TypeError),
        ((2**31, 4, 12), TypeError),
        ((2**32 - 1, 2**32 - 1, 2**32 - 1), ValueError),
    ],
)
@pytest.mark.parametrize("target", ["passthrough", "bgr8"])
def test_a_message_with_too_few_bytes_is_no_error_of_the_bridges_own(claimed, error, target):
    with pytest.raises(error) as raised:
        BRIDGE.imgmsg_to_cv2(message("rgb8", *claimed, bytes(10)), target)
    assert raised.type is error


def test_rows_shorter_than_the_width_make_a_narrower_image_without_a_word():
    received = BRIDGE.imgmsg_to_cv2(message("mono8", 2, 5, 3, bytes([1, 2, 3, 4, 5, 6])))
    np.testing.assert_array_equal(received, [[1, 2, 3], [4, 5, 6]])


def test_an_image_without_pixels_is_none_in_its_own_encoding():
    empty = message("rgb8", 0, 0, 0, b"")
    assert BRIDGE.imgmsg_to_cv2(empty).shape == (0, 0, 3)
    assert BRIDGE.imgmsg_to_cv2(empty, "rgb8") is None
    with pytest.raises(CvBridgeError):
        BRIDGE.imgmsg_to_cv2(empty, "bgr8")


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.zeros((2, 2), bool), KeyError),
        (np.zeros((2, 2), np.int64), KeyError),
        (np.zeros(3, np.uint8), IndexError),
        (np.zeros((0, 2), np.uint8), ZeroDivisionError),
    ],
)
def test_arrays_that_are_no_images_raise_what_python_raises(image, error):
    with pytest.raises(error):
        BRIDGE.cv2_to_imgmsg(image)


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("rgb8", "8UC3"),
        ("bgra16", "16UC4"),
        ("mono16", "16UC1"),
        ("32FC1", "32FC1"),
        ("64F", "64FC1"),
        ("8SC2", "8SC2"),
    ],
)
def test_encodings_have_the_number_of_opencv(encoding, name):
    assert getCvType(encoding) == getattr(cv2, f"CV_{name}")


def test_an_unknown_encoding_has_no_number():
    with pytest.raises(RuntimeError):
        getCvType("no_such_encoding")


@pytest.mark.parametrize(
    ("values", "encoding", "target", "options", "expected"),
    [
        ([0, 1000, 2000], "16UC1", "mono8", (True,), [0, 128, 255]),
        ([0.0, 0.5, 2.0], "32FC1", "mono8", (False, 0.0, 1.0), [0, 128, 255]),
        ([-np.inf, 0.0, 1.0], "32FC1", "mono8", (True,), [0, 0, 255]),
        ([0, 65535, 257], "16UC1", "mono8", (), [0, 255, 1]),
        ([7, 8, 9], "mono8", "", (), [[7] * 3, [8] * 3, [9] * 3]),
        ([[1, 2, 3]] * 3, "rgb8", "", (), [[3, 2, 1]] * 3),
    ],
)
def test_images_are_scaled_for_display(values, encoding, target, options, expected):
    dtype = {"16UC1": np.uint16, "32FC1": np.float32}.get(encoding, np.uint8)
    shown = cvtColorForDisplay(np.array([values], dtype), encoding, target, *options)
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown, [expected])


def test_colours_for_display_are_those_of_opencv_with_black_for_nan():
    depth = np.array([[0.0, 1.0, np.nan]], np.float32)
    # By position only: the real one takes keywords only where all before them are there as well.
    options = (False, 0.0, 1.0, cv2.COLORMAP_JET)
    shown = cvtColorForDisplay(depth, "32FC1", "bgr8", *options)
    ends = cv2.applyColorMap(np.array([[0, 255]], np.uint8), cv2.COLORMAP_JET)
    np.testing.assert_array_equal(shown, [[*ends[0], (0, 0, 0)]])


@pytest.mark.parametrize(
    ("encoding", "target", "options"),
    [
        ("rgb8", "32FC1", ()),
        ("rgb8", "bgr16", ()),
        ("rgb8", "no_such_encoding", ()),
        ("8UC2", "bgr8", ()),
        ("rgb8", "bgr8", (True,)),
    ],
)
def test_what_cannot_be_displayed_is_a_runtime_error(encoding, target, options):
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)[:, :, : 2 if encoding == "8UC2" else 3]
    with pytest.raises(RuntimeError):
        cvtColorForDisplay(np.ascontiguousarray(image), encoding, target, *options)


def test_an_unknown_encoding_is_refused():
    with pytest.raises(CvBridgeError):
        BRIDGE.imgmsg_to_cv2(message("no_such_encoding", 1, 1, 1, bytes(1)))


def test_png_keeps_bgr_pixels():
    image = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    sent = BRIDGE.cv2_to_compressed_imgmsg(image, dst_format="png")
    assert sent.format == "png"
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(sent), image)
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(sent, "bgr8"), image)
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(sent, "rgb8"), image[:, :, ::-1])


def test_jpg_is_the_default_and_keeps_colours_nearly():
    image = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    sent = BRIDGE.cv2_to_compressed_imgmsg(image)
    assert sent.format == "jpg"
    assert len(sent.data) < image.nbytes
    np.testing.assert_allclose(BRIDGE.compressed_imgmsg_to_cv2(sent), image, atol=4)


def test_grey_png_stays_grey():
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    sent = BRIDGE.cv2_to_compressed_imgmsg(image, dst_format="png")
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(sent), image)


def test_sixteen_bit_depth_survives_png():
    image = np.array([[0, 1000, 65535]], np.uint16)
    sent = BRIDGE.cv2_to_compressed_imgmsg(image, dst_format="png")
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(sent), image)


def test_compressed_messages_that_are_no_images_do_not_pass_unnoticed():
    garbage = CompressedImage(format="png", data=array("B", b"not an image"))
    received = None
    with contextlib.suppress(CvBridgeError):
        received = BRIDGE.compressed_imgmsg_to_cv2(garbage)
    assert received is None
