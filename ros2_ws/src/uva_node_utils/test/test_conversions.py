# SPDX-License-Identifier: Apache-2.0
"""Messages to arrays, and what is refused before it is converted."""

from types import SimpleNamespace

import numpy as np
import pytest

from uva_node_utils.conversions import (
    MOST_PIXELS,
    MessageError,
    eef_pose,
    gripper_width,
    pose_arrays,
    printable,
    rgb_image,
    shown,
)


def a_pose(x=0.3, w=1.0):
    return SimpleNamespace(position=SimpleNamespace(x=x, y=0.1, z=0.2), orientation=SimpleNamespace(x=0, y=0, z=0, w=w))


def an_eef_pose(frame="base_link", **pose):
    return SimpleNamespace(header=SimpleNamespace(frame_id=frame), pose=a_pose(**pose))


def joints(names, position):
    return SimpleNamespace(name=names, position=position)


def an_image(encoding="rgb8", width=4, height=2, step=12, size=24, is_bigendian=0):
    data = (np.arange(size) % 256).astype(np.uint8).tobytes()
    return SimpleNamespace(
        encoding=encoding, width=width, height=height, step=step, data=data, is_bigendian=is_bigendian
    )


class Bridge:
    """Stands for cv_bridge: returns or raises what it was given."""

    def __init__(self, result):
        self.result = result

    def imgmsg_to_cv2(self, message, encoding):
        assert encoding == "rgb8"
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def test_poses_become_arrays():
    positions, quaternions = pose_arrays([a_pose(), a_pose(x=0.4)])
    assert positions.tolist() == [[0.3, 0.1, 0.2], [0.4, 0.1, 0.2]]
    assert quaternions.tolist() == [[0, 0, 0, 1]] * 2
    assert [array.shape for array in pose_arrays([])] == [(0, 3), (0, 4)]


def test_an_eef_pose_is_position_and_quaternion():
    position, quaternion = eef_pose(an_eef_pose(), "base_link")
    assert (position.tolist(), quaternion.tolist()) == ([0.3, 0.1, 0.2], [0, 0, 0, 1])


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (an_eef_pose(frame="world"), "in frame 'world', expected 'base_link'"),
        (an_eef_pose(frame="\x1b[2J" + 2_000_000 * "x"), r"in frame '\\x1b\[2Jx+\.\.\.', expected"),
        (an_eef_pose(w=0.5), "quaternion"),
        (an_eef_pose(x=float("nan")), "nan"),
        (an_eef_pose(w=float("inf")), "inf"),
    ],
)
def test_an_eef_pose_that_cannot_be_used_is_refused_in_a_short_line(message, text):
    with pytest.raises(MessageError, match=text) as refusal:
        eef_pose(message, "base_link")
    assert len(str(refusal.value)) < 200


def test_the_gripper_is_found_by_name():
    assert gripper_width(joints(["joint1", "gripper"], [1.0, 0.04])) == 0.04


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (joints(["joint1"], [1.0]), "no 'gripper', only 'joint1'"),
        (joints([f"joint{n}" for n in range(100_000)], []), r"only 'joint0, joint1.*\.\.\.'"),
        (joints(["gripper"], []), "1 names, but 0 positions"),
        (joints(["gripper"], [float("nan")]), "nan"),
    ],
)
def test_joint_states_without_a_gripper_are_refused_in_a_short_line(message, text):
    with pytest.raises(MessageError, match=text) as refusal:
        gripper_width(message)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("step", [12, 14])
def test_rgb_and_bgr_are_read_without_a_bridge_and_without_the_padding_of_rows(step):
    rgb, bgr = (rgb_image(an_image(encoding, step=step, size=2 * step)) for encoding in ("rgb8", "bgr8"))
    assert rgb[1, :2].tolist() == [[step, step + 1, step + 2], [step + 3, step + 4, step + 5]]
    np.testing.assert_array_equal(bgr, rgb[..., ::-1])
    assert rgb.flags["C_CONTIGUOUS"] and rgb.flags["WRITEABLE"]
    assert bgr.flags["C_CONTIGUOUS"] and bgr.flags["WRITEABLE"]


@pytest.mark.parametrize("encoding", ["rgb8", "mono8"])
@pytest.mark.parametrize(
    ("claims", "text"),
    [
        ({"size": 23}, "has 23 bytes, expected 24: it was truncated"),
        ({"size": 0}, "has 0 bytes, expected 24"),
        ({"width": 0}, "0 pixels"),
        ({"height": 0, "size": 0}, "0 pixels"),
        ({"step": 3}, "a step of 3 bytes, expected at least"),
        ({"step": 0}, "a step of 0 bytes"),
        ({"width": 2**32 - 1, "height": 2**32 - 1, "step": 2**32 - 1}, f"expected 1 to {MOST_PIXELS}"),
    ],
)
def test_an_image_that_claims_what_is_not_there_never_reaches_the_bridge(encoding, claims, text):
    with pytest.raises(MessageError, match=text):
        rgb_image(an_image(encoding, **claims), Bridge(AssertionError("the bridge was asked")))


def test_other_encodings_are_left_to_the_bridge():
    pixels = np.full((2, 4, 3), 7, np.uint8)
    assert rgb_image(an_image("mono8"), Bridge(pixels)) is pixels
    with pytest.raises(MessageError, match=r"became \(2, 4\) uint8"):
        rgb_image(an_image("mono8"), Bridge(pixels[..., 0]))
    with pytest.raises(MessageError, match="cannot read images of encoding 'yuv422', only rgb8 and bgr8"):
        rgb_image(an_image("yuv422"))


@pytest.mark.parametrize(
    "error",
    [
        TypeError("buffer is too small for requested array"),
        AttributeError("`newbyteorder` was removed from the ndarray class in NumPy 2.0."),
        RuntimeError("Unrecognized image encoding [nonsense]"),
    ],
)
def test_whatever_the_bridge_raises_is_one_line_that_names_the_encoding(error):
    with pytest.raises(MessageError, match="an image of encoding 'nonsense' cannot become RGB: ") as refusal:
        rgb_image(an_image("nonsense"), Bridge(error))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("base_link", "base_link"),
        ("größe", "größe"),
        ("a\n\x1b[31mb\u202ec", r"a\n\x1b[31mb\u202ec"),
        ("x" * 2_000_000, "x" * 60 + "..."),
    ],
)
def test_text_from_outside_is_escaped_and_cut(text, expected):
    assert printable(text) == expected
    assert shown(text) == f"'{expected}'"


def test_byte_order_matters_only_where_a_value_has_more_than_one_byte():
    assert rgb_image(an_image(is_bigendian=1), None).shape == (2, 4, 3)
    with pytest.raises(MessageError, match="is_bigendian=1, expected 0: little-endian"):
        rgb_image(an_image("mono16", is_bigendian=1), None)
