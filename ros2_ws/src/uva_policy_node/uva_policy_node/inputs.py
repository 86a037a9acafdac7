# SPDX-License-Identifier: Apache-2.0
"""Subscribe to camera and arm, match their stamps, and hand observations to the inference."""

from __future__ import annotations

import functools
import math
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState

import message_filters
from cv_bridge import CvBridge
from uva_core import poses
from uva_core.observation.buffer import STEP_BACK_S
from uva_msgs.msg import ActionChunk
from uva_node_utils import topics
from uva_node_utils.conversions import MessageError, eef_pose, gripper_width, rgb_image
from uva_node_utils.time import seconds_to_stamp, stamp_to_seconds
from uva_policy_node.health import Health
from uva_policy_node.inference import Inference
from uva_policy_node.messages import query_actions
from uva_policy_node.parameters import PolicyParameters

INPUTS = {topics.CAMERA: Image, topics.JOINT_STATES: JointState, topics.EEF_POSE: PoseStamped}
_LATEST_STAMP_S = 2**31  # of what a message's stamp can hold


class Inputs:
    """Subscriptions to camera, arm and queries. Stamps that step back start the history anew."""

    def __init__(self, node: Node, inference: Inference, health: Health, settings: PolicyParameters) -> None:
        """Subscribe."""
        self._node, self._inference, self._health, self._settings = node, inference, health, settings
        self._bridge = CvBridge()
        self._received_s = dict.fromkeys(INPUTS, -math.inf)  # on the monotonic clock
        self._match_anew()
        self._subscriptions = [
            node.create_subscription(kind, topic, functools.partial(self._receive, topic), qos_profile_sensor_data)
            for topic, kind in INPUTS.items()
        ]
        self._subscriptions.append(node.create_subscription(ActionChunk, topics.QUERY_CHUNK, self._receive_query, 1))

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def silent_topics(self) -> list[str]:
        """Return the resolved names of the topics on which nothing has come for too long."""
        limit_s = time.monotonic() - self._settings.observation_timeout_s
        return [self._node.resolve_topic_name(topic) for topic, at_s in self._received_s.items() if at_s < limit_s]

    def _match_anew(self) -> None:
        """Begin with empty queues."""
        self._newest_s = dict.fromkeys(INPUTS, 0.0)
        self._filters = {topic: message_filters.SimpleFilter() for topic in INPUTS}
        synchronizer = message_filters.ApproximateTimeSynchronizer(
            list(self._filters.values()), self._settings.sync_queue_size, self._settings.sync_slop_s
        )
        synchronizer.registerCallback(self._observe)

    def _receive(self, topic: str, message: Any) -> None:
        self._received_s[topic] = time.monotonic()
        stamp_s = stamp_to_seconds(message.header.stamp)
        if topic == topics.CAMERA:
            stamp_s -= self._settings.camera_latency_s
        if not 0.0 <= stamp_s < _LATEST_STAMP_S:
            name = self._node.resolve_topic_name(topic)
            self._health.dropped(MessageError(f"a message on {name} is stamped {stamp_s:.3f} s"))
            return
        if topic == topics.CAMERA and self._settings.camera_latency_s > 0.0:
            # Here, so that everything later, the chunk's stamp included, has the time at which the image was true.
            message.header.stamp = seconds_to_stamp(stamp_s)
        if stamp_s < self._newest_s[topic] - STEP_BACK_S:
            # Full queues take nothing older than what they hold, so nothing would match any more.
            self._node.get_logger().warning(
                f"stamps on {self._node.resolve_topic_name(topic)} step back by "
                f"{self._newest_s[topic] - stamp_s:.2f} s: the history starts anew",
                throttle_duration_sec=2.0,
            )
            self._match_anew()
            self._inference.forget()
        self._newest_s[topic] = max(stamp_s, self._newest_s[topic])
        # Images are large: they do not wait in a queue for an arm that is silent.
        if topic != topics.CAMERA or not self.silent_topics():
            self._filters[topic].signalMessage(message)

    def _observe(self, image: Image, joints: JointState, pose: PoseStamped) -> None:
        """Convert messages with matching stamps and hand them to the inference."""
        self._health.matched()
        if not self._inference.running:
            return
        started = time.perf_counter()
        try:
            self._inference.observe(
                stamp_to_seconds(image.header.stamp),
                rgb_image(image, self._bridge),
                stamp_to_seconds(pose.header.stamp),
                poses.matrix_from_quaternion(*eef_pose(pose, self._settings.pose_frame)),
                gripper_width(joints),
            )
        except ValueError as error:
            self._health.dropped(error)
            return
        self._health.observed(time.perf_counter() - started)

    def _receive_query(self, chunk: ActionChunk) -> None:
        """Take actions for forward dynamics; they stay until others come. No poses: the policy's own again."""
        steps = self._inference.predictor.policy.config.model.action_steps
        try:
            self._inference.query = query_actions(chunk, self._settings.pose_frame, steps) if chunk.poses else None
        except MessageError as error:
            self._node.get_logger().warning(
                f"dropped a chunk on {self._node.resolve_topic_name(topics.QUERY_CHUNK)}: {error}",
                throttle_duration_sec=2.0,
            )
