# SPDX-License-Identifier: Apache-2.0
"""Stamps, silent topics and malformed messages."""

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import Image, JointState

from cv_bridge import CvBridge
from uva_node_utils.time import seconds_to_stamp, stamp_to_seconds

pytestmark = pytest.mark.system


def test_the_cameras_latency_is_taken_from_the_stamps_of_images(make_rig):
    rig = make_rig(camera_latency_s=0.225, sync_slop_s=0.05)
    rig.with_images = False
    stamps: list[float] = []

    def publish_late_image() -> None:
        """Publish an image of now, stamped by a camera that sends it 0.225 s later; poses are not late."""
        now = rig.client.get_clock().now().nanoseconds * 1e-9
        image = Image(height=32, width=32, encoding="rgb8", step=96, data=bytes(32 * 32 * 3))
        image.header.stamp = seconds_to_stamp(now + 0.225)
        stamps.append(now)
        rig.images.publish(image)

    rig.client.create_timer(0.05, publish_late_image)
    rig.wait(lambda: len(rig.received["chunk"]) >= 2)
    for chunk in rig.received["chunk"]:
        assert min(abs(stamp_to_seconds(chunk.header.stamp) - stamp) for stamp in stamps) < 1e-3


def test_a_silent_image_topic_is_named_in_diagnostics(make_rig):
    rig = make_rig(observation_timeout_s=0.3)
    rig.with_images = False

    def complained() -> bool:
        statuses = [s for array in rig.received["diagnostics"] for s in array.status]
        return any(s.level == DiagnosticStatus.ERROR and "camera/image_raw" in s.message for s in statuses)

    rig.wait(complained)
    assert not rig.received["chunk"]


def test_stamps_far_apart_give_no_observation(make_rig):
    rig = make_rig(observation_timeout_s=0.3)
    real = rig.poses.publish

    def late(message: PoseStamped) -> None:
        message.header.stamp = seconds_to_stamp(stamp_to_seconds(message.header.stamp) - 100.0)
        real(message)

    rig.poses.publish = late
    rig.wait_for_status(DiagnosticStatus.ERROR, "no stamps match within 0.02 s")
    assert not rig.received["chunk"]


def test_poses_in_another_frame_are_reported(make_rig):
    rig = make_rig(observation_timeout_s=0.3)
    rig.frame = "world"
    rig.wait_for_status(DiagnosticStatus.ERROR, "EEF pose is in frame 'world'")
    rig.frame = "base_link"
    rig.wait_for_status(DiagnosticStatus.OK, "mask mode 'policy'")
    rig.wait(lambda: rig.received["chunk"])


@pytest.mark.parametrize("step_s", [-5.0, 3600.0])
def test_chunks_go_on_after_a_step_of_time(make_rig, step_s):
    rig = make_rig()
    rig.wait(lambda: rig.received["chunk"])
    rig.stamp_offset_s = step_s
    rig.spin(0.3)
    if step_s > 0:  # a glitch, and back
        rig.stamp_offset_s = 0.0
    rig.received["chunk"].clear()
    rig.wait(lambda: len(rig.received["chunk"]) >= 3, 10.0)
    now_s = rig.client.get_clock().now().nanoseconds * 1e-9 + rig.stamp_offset_s
    assert 0 < now_s - stamp_to_seconds(rig.received["chunk"][-1].header.stamp) < 1.0


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ({"data": bytes(100)}, "has 100 bytes, expected 3072: it was truncated"),
        ({"is_bigendian": 1, "encoding": "mono16"}, "is_bigendian=1, expected 0"),
        ({"width": 0, "height": 0}, "0 pixels"),
        ({"width": 2**32 - 1, "step": 2**32 - 1}, "pixels, expected 1 to"),
        ({"encoding": "mono16", "data": bytes(100)}, "has 100 bytes, expected 3072: it was truncated"),
        ({"encoding": "nonsense"}, "an image of encoding 'nonsense' cannot become RGB"),
    ],
)
def test_a_malformed_image_is_dropped_with_its_reason(make_rig, claim, text):
    rig = make_rig(observation_timeout_s=0.3)
    good = dict(rig.image)
    rig.image.update(claim)
    rig.wait_for_status(DiagnosticStatus.ERROR, "observation dropped")
    rig.wait_for_status(DiagnosticStatus.ERROR, text)
    assert not rig.received["chunk"]
    rig.image = good
    rig.wait(lambda: rig.received["chunk"])


@pytest.mark.parametrize(
    "error", [TypeError("buffer is too small for requested array"), AttributeError("newbyteorder")]
)
def test_an_error_inside_cv_bridge_drops_the_image(make_rig, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(CvBridge, "imgmsg_to_cv2", fail)
    rig = make_rig(observation_timeout_s=0.3)
    rig.image["encoding"] = "rgba8"
    rig.wait_for_status(DiagnosticStatus.ERROR, f"'rgba8' cannot become RGB: '{error}'")


def test_joint_states_without_a_position_are_dropped(make_rig):
    rig = make_rig(observation_timeout_s=0.3)
    joints = rig.joints.publish
    rig.joints.publish = lambda message: joints(JointState(header=message.header, name=["gripper"]))
    rig.wait_for_status(DiagnosticStatus.ERROR, "1 names, but 0 positions")


@pytest.mark.parametrize("second", [-(2**31), -1, 0])
def test_an_image_with_a_stamp_that_no_clock_shows_is_dropped(make_rig, capfd, second):
    rig = make_rig(observation_timeout_s=0.3, camera_latency_s=0.5)
    images = rig.images.publish

    def publish(message):
        message.header.stamp = Time(sec=second)
        images(message)

    rig.images.publish = publish
    rig.wait_for_status(DiagnosticStatus.ERROR, "no stamps match")
    assert f"camera/image_raw is stamped {second - 0.5:.3f} s" in capfd.readouterr().err
    rig.images.publish = images
    rig.wait(lambda: rig.received["chunk"])
