# SPDX-License-Identifier: Apache-2.0
"""The node over ROS, with a network of random weights: observations in, chunks and frames out."""

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Pose, PoseStamped
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float32

from uva_core.policy.policy import UvaPolicy
from uva_msgs.msg import ActionChunk, ActionChunkArray
from uva_msgs.srv import SetInstruction, SetMaskMode
from uva_node_utils.lifecycle import StartupError
from uva_node_utils.time import seconds_to_stamp, stamp_to_seconds
from uva_policy_node.node import UvaPolicyNode

pytestmark = pytest.mark.system

RATE_HZ = 20.0


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tiny_config, tiny_policy) -> str:
    """A checkpoint of which all modes are said to be trained; beside it one for video only, and one with language."""
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
        self.client.create_timer(1 / RATE_HZ, self.publish)
        self.node = UvaPolicyNode(parameter_overrides=overrides, **options)
        for node in (self.client, self.node):
            self.executor.add_node(node)

    def publish(self) -> None:
        stamp = seconds_to_stamp(self.client.get_clock().now().nanoseconds * 1e-9 + self.stamp_offset_s)
        if self.with_images:
            image = Image(height=32, width=32, encoding="rgb8", step=96, data=bytes(32 * 32 * 3))
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
        return str(self.node._report()[2].get(key, ""))

    def spin(self, seconds: float) -> None:
        deadline_s = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > deadline_s, seconds + 5)

    def wait_for_status(self, level: bytes, text: str) -> None:
        """Wait until the next diagnostics will say so; that they are published is tested once."""

        def says_so() -> bool:
            now_level, message, _ = self.node._report()
            return now_level == level and text in message

        self.wait(lambda: self.node.state_name == "active" and says_so())

    def slow_down(self, monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
        """Let inferences wait; returns what tells that one has begun, and what lets it go on."""
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


def test_the_cameras_latency_is_taken_from_the_stamps_of_images(make_rig):
    rig = make_rig(camera_latency_s=0.225, sync_slop_s=0.05)
    rig.with_images = False
    stamps: list[float] = []

    def publish_late_image() -> None:
        """What the camera saw now, with the stamp that it will have got when it is out; poses are not late."""
        now = rig.client.get_clock().now().nanoseconds * 1e-9
        image = Image(height=32, width=32, encoding="rgb8", step=96, data=bytes(32 * 32 * 3))
        image.header.stamp = seconds_to_stamp(now + 0.225)
        stamps.append(now)
        rig.images.publish(image)

    rig.client.create_timer(1 / RATE_HZ, publish_late_image)
    rig.wait(lambda: len(rig.received["chunk"]) >= 2)
    for chunk in rig.received["chunk"]:
        assert min(abs(stamp_to_seconds(chunk.header.stamp) - stamp) for stamp in stamps) < 1e-3


def test_video_mode_publishes_frames_stamped_with_the_time_they_predict_and_moves_nothing(make_rig):
    rig = make_rig(mask_mode="video")
    rig.wait(lambda: len(rig.received["image"]) >= 4 and rig.received["strip"])
    stamps = [stamp_to_seconds(m.header.stamp) for m in rig.received["image"][:4]]
    newest = stamp_to_seconds(rig.received["strip"][0].header.stamp)
    assert [round(s - newest, 3) for s in stamps] == [0.1, 0.2, 0.3, 0.4]
    assert not rig.received["chunk"]


def test_all_five_modes_run_one_after_another_by_service_and_parameter(make_rig):
    rig = make_rig(candidates=2, rate_hz=10.0)
    sequences: list[int] = []
    for change, mode, expected in (
        (None, "policy", {"chunk"}),
        (rig.set_mode, "video", {"image", "strip"}),
        (rig.set_parameter, "forward_dynamics", {"image", "strip"}),
        (rig.set_mode, "inverse_dynamics", {"estimate"}),
        (rig.set_parameter, "policy_planner", {"chunk", "candidates", "image", "strip", "divergence"}),
        (rig.set_mode, "policy", {"chunk"}),
    ):
        if change == rig.set_mode:
            assert change(mode).success
        elif change == rig.set_parameter:
            assert change("mask_mode", mode).successful
        came = rig.published(*expected)
        assert set(came) == expected
        assert {chunk.mask_mode for name in ("chunk", "estimate") for chunk in came.get(name, [])} <= {mode}
        assert rig.node.get_parameter("mask_mode").value == mode
        sequences += [chunk.sequence for chunk in came.get("chunk", [])]
        if mode == "policy_planner":
            candidates = {array.chunks[0].sequence: array for array in came["candidates"]}
            pairs = [(c, candidates[c.sequence]) for c in came["chunk"] if c.sequence in candidates]
            assert pairs
            for chosen, array in pairs:
                assert len(array.chunks) == 2 and not array.scores
                assert array.chunks[0] == chosen and array.chunks[1].poses != chosen.poses
            assert all(0 < message.data <= 1 for message in came["divergence"])
        if mode == "inverse_dynamics":
            now_s = rig.client.get_clock().now().nanoseconds * 1e-9
            assert now_s - stamp_to_seconds(came["estimate"][-1].header.stamp) > 0.4
    assert sequences == sorted(set(sequences))
    assert rig.value("mask_mode") == "policy"


def test_an_unknown_mode_is_refused_with_those_there_are(make_rig):
    rig = make_rig()
    text = "unknown mask mode 'dream'; choose one of: policy, video, forward_dynamics, inverse_dynamics, policy_planner"
    response, result = rig.set_mode("dream"), rig.set_parameter("mask_mode", "dream")
    assert (response.success, response.message) == (result.successful, result.reason) == (False, text)
    assert not rig.set_parameter("rate_hz", 1.0).successful  # fixed when the node starts
    assert rig.node.get_parameter("mask_mode").value == "policy"


def test_a_chunk_that_is_being_worked_on_during_a_switch_moves_nothing(make_rig, monkeypatch):
    rig = make_rig()
    rig.wait(lambda: rig.received["chunk"])
    begun, go_on = rig.slow_down(monkeypatch)
    rig.wait(begun.is_set)
    rig.spin(0.1)
    count = len(rig.received["chunk"])
    assert rig.set_mode("video").success
    go_on.set()
    rig.wait(lambda: rig.received["image"])
    assert len(rig.received["chunk"]) == count


def test_a_planner_that_chooses_is_left_the_choice(make_rig):
    rig = make_rig(mask_mode="policy_planner", planner=True)
    assert set(rig.published("candidates")) == {"candidates", "image", "strip"}


def test_forward_dynamics_foresees_the_chunk_it_is_given(make_rig, checkpoint):
    rig = make_rig(mask_mode="forward_dynamics")
    rig.wait(lambda: rig.received["image"])
    assert rig.value("actions") == "the policy's own"

    def foresees(steps: int, actions: str) -> None:
        chunk = ActionChunk(poses=[Pose()] * steps, gripper_width=[0.0] * steps)
        chunk.header.frame_id = "base_link"
        rig.queries.publish(chunk)
        rig.wait(lambda: rig.value("actions") == actions)

    foresees(16, "given")
    foresees(15, "given")  # refused: another number of steps than the model's
    rig.spin(0.2)
    assert rig.value("actions") == "given"
    foresees(0, "the policy's own")
    assert not rig.received["chunk"]


def test_instructions_of_a_model_with_language_may_change_while_it_runs(make_rig, checkpoint):
    rig = make_rig(checkpoint.replace("all.", "language."))
    rig.wait_for_status(DiagnosticStatus.WARN, "needs an instruction: 'push'; 'pull'")
    assert not rig.received["chunk"]
    refused = rig.set_instruction("throw")
    assert (refused.success, refused.message) == (False, "unknown instruction 'throw'; known: 'push'; 'pull'")
    assert rig.set_instruction("push").success
    assert set(rig.published("chunk")) == {"chunk"}
    assert rig.set_parameter("instruction", "pull").successful
    assert rig.published("chunk")
    assert rig.value("instruction") == "pull"


def test_a_model_without_language_takes_no_instruction(make_rig):
    rig = make_rig()
    refused = rig.set_instruction("push")
    assert not refused.success
    assert "follows no instructions" in refused.message


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
    rig = make_rig(observation_timeout_s=0.3)
    real = rig.poses.publish

    def late(message: PoseStamped) -> None:
        message.header.stamp = seconds_to_stamp(stamp_to_seconds(message.header.stamp) - 100.0)
        real(message)

    rig.poses.publish = late  # type: ignore[method-assign]
    rig.wait_for_status(DiagnosticStatus.ERROR, "no stamps match within 0.02 s")
    assert not rig.received["chunk"]


def test_poses_in_another_frame_are_reported(make_rig):
    rig = make_rig(observation_timeout_s=0.3)
    rig.frame = "world"
    rig.wait_for_status(DiagnosticStatus.ERROR, "EEF pose is in frame 'world'")
    rig.frame = "base_link"
    rig.wait_for_status(DiagnosticStatus.OK, "mask mode 'policy'")
    rig.wait(lambda: rig.received["chunk"])


def test_inferences_that_fail_are_reported(make_rig, monkeypatch):
    rig = make_rig(observation_timeout_s=0.3)
    rig.wait(lambda: rig.received["chunk"])

    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(UvaPolicy, "predict_actions", fail)
    rig.wait_for_status(DiagnosticStatus.ERROR, "inference failed: RuntimeError: out of memory")
    assert float(rig.value("chunk_rate_hz") or 0) == 0


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


def test_malformed_messages_are_dropped(make_rig):
    rig = make_rig(observation_timeout_s=0.3)
    rig.wait(lambda: rig.received["chunk"])
    images, joints = rig.images.publish, rig.joints.publish

    def empty(message: Image) -> None:
        images(Image(header=message.header, encoding="rgb8"))

    rig.images.publish = empty  # type: ignore[method-assign]
    rig.wait_for_status(DiagnosticStatus.ERROR, "observation dropped")
    rig.images.publish = images  # type: ignore[method-assign]
    rig.joints.publish = lambda message: joints(JointState(header=message.header, name=["gripper"]))  # type: ignore
    rig.wait_for_status(DiagnosticStatus.ERROR, "1 names, but 0 positions")


def test_it_works_again_after_cleanup_and_a_second_configuration(make_rig):
    rig = make_rig()
    rig.wait(lambda: rig.received["chunk"])
    rig.node.wind_down()
    last = rig.received["chunk"][-1].sequence
    for transition in (rig.node.trigger_configure, rig.node.trigger_activate):
        assert transition() == TransitionCallbackReturn.SUCCESS
    rig.wait(lambda: rig.received["chunk"][-1].sequence > last)
    sequences = [c.sequence for c in rig.received["chunk"]]
    assert sequences == sorted(set(sequences))


def test_nothing_is_published_after_a_shutdown_while_active(make_rig):
    rig = make_rig()
    rig.wait(lambda: rig.received["chunk"])
    assert rig.node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS
    assert rig.node.state_name == "finalized"
    rig.spin(0.3)  # what was sent before may still arrive
    count = len(rig.received["chunk"])
    rig.spin(0.5)
    assert len(rig.received["chunk"]) == count


def test_a_deactivation_does_not_wait_for_an_inference_and_throws_it_away(make_rig, monkeypatch):
    rig = make_rig()
    rig.wait(lambda: rig.received["chunk"])
    begun, go_on = rig.slow_down(monkeypatch)
    rig.wait(begun.is_set)
    rig.spin(0.3)
    count = len(rig.received["chunk"])
    started_s = time.monotonic()
    assert rig.node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert time.monotonic() - started_s < 0.5
    assert rig.node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert rig.node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    go_on.set()
    rig.spin(0.5)
    assert len(rig.received["chunk"]) == count
    rig.node.autostart()
    rig.wait(lambda: len(rig.received["chunk"]) > count)


def test_a_model_that_never_learnt_actions_moves_no_arm(make_rig, checkpoint):
    model = checkpoint.replace("all.", "video.")
    with pytest.raises(StartupError, match="never trained in mask mode 'policy', only in: video; its actions would"):
        make_rig(model, autostart=False).node.autostart()
    rig = make_rig(model, mask_mode="video")
    rig.wait(lambda: rig.received["image"])
    response = rig.set_mode("policy")
    assert not response.success
    assert "never trained in mask mode 'policy'" in response.message
    rig.spin(0.5)
    assert not rig.received["chunk"]


@pytest.mark.parametrize(("parameter", "value"), [("denoising_steps", 1), ("video_iterations", 256)])
def test_a_parameter_that_does_not_suit_the_model_ends_in_one_line(make_rig, parameter, value):
    rig = make_rig(autostart=False, **{parameter: value})
    with pytest.raises(StartupError, match=parameter):
        rig.node.autostart()
