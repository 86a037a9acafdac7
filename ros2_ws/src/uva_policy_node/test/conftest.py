# SPDX-License-Identifier: Apache-2.0
"""A small policy, and a node that runs it over ROS."""

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float32

from uva_core import presets
from uva_core.config import UvaConfig
from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import from_dict
from uva_msgs.msg import ActionChunk, ActionChunkArray
from uva_msgs.srv import SetInstruction, SetMaskMode
from uva_node_utils.time import seconds_to_stamp
from uva_policy_node.node import UvaPolicyNode

RATE_HZ = 20.0
IMAGE = {"height": 32, "width": 32, "encoding": "rgb8", "step": 96, "data": bytes(32 * 32 * 3)}


@pytest.fixture(scope="session")
def tiny_config() -> UvaConfig:
    """`uva_tiny`, smaller still, that remembers 0.3 s and predicts 0.4 s."""
    config = from_dict(UvaConfig, presets.load("uva_tiny")["config"])
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, width=32, encoder_depth=1, decoder_depth=1),
        observation=dataclasses.replace(config.observation, frame_offsets=(-3, -2, -1, 0)),
    )


@pytest.fixture(scope="session")
def tiny_policy(tiny_config: UvaConfig) -> UvaPolicy:
    torch.manual_seed(0)
    policy = UvaPolicy(tiny_config)
    with torch.no_grad():  # heads start at zero, which would hide what they depend on
        for parameter in policy.model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return policy


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, tiny_config, tiny_policy) -> str:
    """Return a checkpoint trained in all modes; beside it are one for video only, and one with language."""
    folder = tmp_path_factory.mktemp("model")
    tiny_policy.save(folder / "all.safetensors")
    UvaPolicy(dataclasses.replace(tiny_config, trained_modes=("video",))).save(folder / "video.safetensors")
    language = dataclasses.replace(tiny_config.model, text_dim=8, text_tokens=4)
    UvaPolicy(dataclasses.replace(tiny_config, model=language, instructions=("push", "pull"))).save(
        folder / "language.safetensors"
    )
    return str(folder / "all.safetensors")


class Rig:
    """The node, and a client that plays camera and arm at 20 Hz and collects what comes out."""

    def __init__(self, context: Context, model: str, **parameters: Any) -> None:
        overrides = [
            Parameter(name, value=value) for name, value in {"model": model, "rate_hz": RATE_HZ, **parameters}.items()
        ]
        options: dict[str, Any] = {"context": context, "namespace": f"policy_test_{os.getpid()}"}
        self.client = Node("client", **options)
        self.executor = SingleThreadedExecutor(context=context)
        self.received: dict[str, list[Any]] = {}
        for name, kind, topic in (
            ("chunk", ActionChunk, "uva/action_chunk"),
            ("candidates", ActionChunkArray, "uva/candidate_chunks"),
            ("estimate", ActionChunk, "uva/estimated_actions"),
            ("image", Image, "uva/predicted_image"),
            ("strip", Image, "uva/predicted_strip"),
            ("divergence", Float32, "uva/divergence"),
            ("diagnostics", DiagnosticArray, "/diagnostics"),
        ):
            self.received[name] = []
            self.client.create_subscription(kind, topic, self.received[name].append, 10)
        self.queries = self.client.create_publisher(ActionChunk, "uva/query_chunk", 10)
        self.images = self.client.create_publisher(Image, "camera/image_raw", qos_profile_sensor_data)
        self.joints = self.client.create_publisher(JointState, "x5/joint_states", 10)
        self.poses = self.client.create_publisher(PoseStamped, "x5/eef_pose", 10)
        self.with_images, self.stamp_offset_s, self.frame = True, 0.0, "base_link"
        self.image: dict[str, Any] = dict(IMAGE)
        self.client.create_timer(1 / RATE_HZ, self.publish)
        self.node = UvaPolicyNode(parameter_overrides=overrides, **options)
        for node in (self.client, self.node):
            self.executor.add_node(node)

    def publish(self) -> None:
        stamp = seconds_to_stamp(self.client.get_clock().now().nanoseconds * 1e-9 + self.stamp_offset_s)
        if self.with_images:
            image = Image(**self.image)
            image.header.stamp = stamp
            self.images.publish(image)
        joints = JointState(name=["gripper"], position=[0.03])
        joints.header.stamp = stamp
        self.joints.publish(joints)
        pose = PoseStamped()
        pose.header.stamp, pose.header.frame_id = stamp, self.frame
        pose.pose.position.x, pose.pose.orientation.w = 0.3, 1.0
        self.poses.publish(pose)

    def wait(self, condition: Callable[[], Any], timeout_s: float = 30.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, "timeout"
            self.executor.spin_once(timeout_sec=0.05)

    def call(self, kind: Any, service: str, request: Any) -> Any:
        client = self.client.create_client(kind, service)
        self.wait(client.service_is_ready)
        future = client.call_async(request)
        self.wait(future.done)
        self.client.destroy_client(client)
        return future.result()

    def set_mode(self, mode: str) -> SetMaskMode.Response:
        return self.call(SetMaskMode, "uva/set_mask_mode", SetMaskMode.Request(mask_mode=mode))

    def set_instruction(self, instruction: str) -> SetInstruction.Response:
        return self.call(SetInstruction, "uva/set_instruction", SetInstruction.Request(instruction=instruction))

    def set_parameter(self, name: str, value: Any) -> Any:
        """As `ros2 param set` does it."""
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        (result,) = self.call(SetParameters, "uva_policy_node/set_parameters", request).results
        return result

    def published(self, *expected: str) -> dict[str, list[Any]]:
        """Wait until all `expected` have come twice, and return what came since the last change was in force."""
        self.spin(0.3)  # what was sent before may still arrive
        for messages in self.received.values():
            messages.clear()
        self.wait(lambda: all(len(self.received[name]) >= 2 for name in expected))
        return {name: list(messages) for name, messages in self.received.items() if messages and name != "diagnostics"}

    def value(self, key: str) -> str:
        """One of the values that the next diagnostics will show."""
        return str(self.node.report()[2].get(key, ""))

    def spin(self, seconds: float) -> None:
        deadline_s = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > deadline_s, seconds + 5)

    def wait_for_status(self, level: bytes, text: str) -> None:
        """Wait until the next diagnostics will say so; that they are published is tested once."""

        def says_so() -> bool:
            now_level, message, _ = self.node.report()
            return now_level == level and text in message

        self.wait(lambda: self.node.state_name == "active" and says_so())

    def slow_down(self, monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
        """Let inferences wait; return an event that tells that one has begun, and one that lets it go on."""
        begun, go_on, predict = threading.Event(), threading.Event(), UvaPolicy.predict_actions

        def slow(*args: Any, **kwargs: Any) -> Any:
            begun.set()
            go_on.wait(20)
            return predict(*args, **kwargs)

        monkeypatch.setattr(UvaPolicy, "predict_actions", slow)
        return begun, go_on


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
        rig.node.destroy_node()
        rig.executor.shutdown()
        rclpy.shutdown(context=context)
