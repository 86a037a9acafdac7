# SPDX-License-Identifier: Apache-2.0
"""The node over ROS, with a network of random weights: observations in, chunks or frames out."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState

from uva_core import presets
from uva_core.config import UvaConfig, from_dict
from uva_core.policy import UvaPolicy
from uva_msgs.msg import ActionChunk
from uva_msgs.srv import SetMaskMode
from uva_node_utils.lifecycle import StartupError
from uva_node_utils.time import seconds_to_stamp, stamp_to_seconds
from uva_policy_node.node import UvaPolicyNode

pytestmark = pytest.mark.system

RATE_HZ = 20.0


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    config = from_dict(UvaConfig, presets.load("uva_tiny")["config"])
    small = dataclasses.replace(config.model, width=32, encoder_depth=1, decoder_depth=1)
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    UvaPolicy(dataclasses.replace(config, model=small, trained_modes=("policy",))).save(path)
    return str(path)


class Rig:
    """The node, and a client that plays camera and arm at 20 Hz and collects what comes out."""

    def __init__(self, context: Context, model: str, **parameters: Any) -> None:
        overrides = [Parameter(name, value=value) for name, value in {"model": model, **parameters}.items()]
        options: dict[str, Any] = {"context": context, "namespace": f"policy_test_{os.getpid()}"}
        self.client = Node("client", **options)
        self.executor = SingleThreadedExecutor(context=context)
        self.received: dict[str, list[Any]] = {"chunk": [], "image": [], "strip": [], "diagnostics": []}
        for name, kind, topic in (
            ("chunk", ActionChunk, "uva/action_chunk"),
            ("image", Image, "uva/predicted_image"),
            ("strip", Image, "uva/predicted_strip"),
            ("diagnostics", DiagnosticArray, "/diagnostics"),
        ):
            self.client.create_subscription(kind, topic, self.received[name].append, 10)
        self.images = self.client.create_publisher(Image, "camera/image_raw", qos_profile_sensor_data)
        self.joints = self.client.create_publisher(JointState, "x5/joint_states", 10)
        self.poses = self.client.create_publisher(PoseStamped, "x5/eef_pose", 10)
        self.mode_client = self.client.create_client(SetMaskMode, "uva/set_mask_mode")
        self.with_images = True
        self.client.create_timer(1 / RATE_HZ, self.publish)
        self.node = UvaPolicyNode(parameter_overrides=overrides, **options)
        for node in (self.client, self.node):
            self.executor.add_node(node)

    def publish(self) -> None:
        stamp = self.client.get_clock().now().to_msg()
        if self.with_images:
            image = Image(height=32, width=32, encoding="rgb8", step=96, data=bytes(32 * 32 * 3))
            image.header.stamp = stamp
            self.images.publish(image)
        joints = JointState(name=["gripper"], position=[0.03])
        joints.header.stamp = stamp
        self.joints.publish(joints)
        pose = PoseStamped()
        pose.header.stamp, pose.header.frame_id = stamp, "base_link"
        pose.pose.position.x, pose.pose.orientation.w = 0.3, 1.0
        self.poses.publish(pose)

    def wait(self, condition: Callable[[], Any], timeout_s: float = 30.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, "timeout"
            self.executor.spin_once(timeout_sec=0.05)

    def set_mode(self, mode: str) -> SetMaskMode.Response:
        self.mode_client.wait_for_service(5.0)
        future = self.mode_client.call_async(SetMaskMode.Request(mask_mode=mode))
        self.wait(future.done)
        return future.result()

    def spin(self, seconds: float) -> None:
        deadline_s = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > deadline_s, seconds + 5)


@pytest.fixture
def make_rig(checkpoint: str) -> Iterator[Callable[..., Rig]]:
    rigs: list[tuple[Rig, Context]] = []

    def make(model: str = checkpoint, **parameters: Any) -> Rig:
        context = Context()
        rclpy.init(context=context)
        rigs.append((Rig(context, model, **parameters), context))
        return rigs[-1][0]

    yield make
    for rig, context in rigs:
        rig.node.wind_down()
        rig.executor.shutdown()
        rclpy.shutdown(context=context)


def test_chunks_carry_the_stamp_of_the_newest_image_and_say_what_they_are(make_rig):
    rig = make_rig()
    rig.wait(lambda: len(rig.received["chunk"]) >= 3)
    chunks = rig.received["chunk"]
    now = rig.client.get_clock().now().nanoseconds * 1e-9
    for chunk in chunks:
        assert len(chunk.poses) == len(chunk.gripper_width) == len(chunk.time_from_start) == 16
        assert chunk.header.frame_id == "base_link"
        assert chunk.mask_mode == "policy"
        assert 0 < now - stamp_to_seconds(chunk.header.stamp) < 5.0
    assert [c.sequence for c in chunks] == list(range(len(chunks)))
    assert not rig.received["image"]


def test_video_mode_publishes_frames_stamped_with_the_time_they_predict_and_moves_nothing(make_rig):
    rig = make_rig(mask_mode="video")
    rig.wait(lambda: len(rig.received["image"]) >= 4 and rig.received["strip"])
    stamps = [stamp_to_seconds(m.header.stamp) for m in rig.received["image"][:4]]
    newest = stamp_to_seconds(rig.received["strip"][0].header.stamp)
    assert [round(s - newest, 3) for s in stamps] == [0.4, 0.8, 1.2, 1.6]
    assert not rig.received["chunk"]


def test_the_mode_switches_while_running_and_an_unknown_one_is_refused(make_rig):
    rig = make_rig()
    rig.wait(lambda: rig.received["chunk"])
    refused = rig.set_mode("dream")
    assert not refused.success
    assert "unknown mask mode 'dream'; choose one of: policy, video" in refused.message
    assert rig.set_mode("video").success
    rig.wait(lambda: rig.received["image"])
    before = len(rig.received["chunk"])
    rig.spin(1.0)
    assert len(rig.received["chunk"]) <= before + 1  # one may have been under way
    assert rig.set_mode("policy").success
    rig.wait(lambda: len(rig.received["chunk"]) > before + 1)


def test_a_silent_image_topic_is_named_in_diagnostics(make_rig):
    rig = make_rig(observation_timeout_s=0.3)
    rig.with_images = False

    def complained() -> bool:
        statuses = [s for array in rig.received["diagnostics"] for s in array.status]
        return any(s.level == DiagnosticStatus.ERROR and "camera/image_raw" in s.message for s in statuses)

    rig.wait(complained)
    assert not rig.received["chunk"]


def test_latencies_by_stage_are_in_diagnostics(make_rig):
    rig = make_rig()
    rig.wait(lambda: len(rig.received["chunk"]) >= 3)

    def keys() -> set[str]:
        return {kv.key for array in rig.received["diagnostics"][-1:] for s in array.status for kv in s.values}

    wanted = {f"{s}_ms_p50" for s in ("observation", "tokenizer", "transformer", "action_head", "inference")}
    rig.wait(lambda: wanted <= keys())


@pytest.mark.parametrize(
    ("model", "text"),
    [("", "parameter 'model' is empty"), ("/nowhere/uva.safetensors", "no checkpoint at /nowhere/uva.safetensors")],
)
def test_a_checkpoint_that_is_not_there_ends_in_one_line(make_rig, model, text):
    rig = make_rig(model)
    with pytest.raises(StartupError, match=text):
        rig.node.autostart()


def test_stamps_far_apart_give_no_observation(make_rig):
    rig = make_rig()
    real = rig.poses.publish

    def late(message: PoseStamped) -> None:
        message.header.stamp = seconds_to_stamp(stamp_to_seconds(message.header.stamp) - 100.0)
        real(message)

    rig.poses.publish = late  # type: ignore[method-assign]
    rig.spin(2.5)
    assert not rig.received["chunk"]
