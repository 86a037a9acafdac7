# SPDX-License-Identifier: Apache-2.0
"""Pretends to be the policy: an empty chunk for every second image, and latencies on /diagnostics."""

from contextlib import suppress

import rclpy
from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from uva_msgs.msg import ActionChunk


class FakePolicy(Node):
    def __init__(self) -> None:
        super().__init__("uva_policy_node")
        self.images = 0
        self.chunks = self.create_publisher(ActionChunk, "uva/action_chunk", 10)
        self.diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_subscription(Image, "camera/image_raw", self.on_image, qos_profile_sensor_data)
        self.create_timer(0.25, self.report)

    def on_image(self, image: Image) -> None:
        self.images += 1
        if self.images % 2:
            chunk = ActionChunk(header=image.header, mask_mode="policy", sequence=self.images // 2)
            chunk.inference_time = Duration(nanosec=30_000_000)
            self.chunks.publish(chunk)

    def report(self) -> None:
        values = {"tokenizer_ms_p50": "7.0", "tokenizer_ms_p95": "9.0", "chunk_rate_hz": "10.0", "mode": "policy"}
        status = DiagnosticStatus(name="uva_policy_node: inference")
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        self.diagnostics.publish(DiagnosticArray(status=[status]))


def main() -> None:
    rclpy.init()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(FakePolicy())


if __name__ == "__main__":
    main()
