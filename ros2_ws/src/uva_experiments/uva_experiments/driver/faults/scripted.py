# SPDX-License-Identifier: Apache-2.0
"""A process instead of the policy: it publishes chunks of a figure-eight, faulty ones when ordered to.

`python -m uva_experiments.driver.faults.scripted X Y Z QX QY QZ QW` moves around that pose. Orders come on a topic:
`normal`, `nan`, `flood`, or `shift S` for stamps that are S seconds off.
"""

from __future__ import annotations

import math
import sys
import time
from contextlib import suppress

import numpy as np
import rclpy
from geometry_msgs.msg import Point, Pose, Quaternion
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import String

from uva_experiments.driver.figure_eight import STEP_S, STEPS, FigureEight
from uva_msgs.msg import ActionChunk
from uva_node_utils import topics
from uva_node_utils.time import seconds_to_duration, seconds_to_stamp

ORDERS = "scripted_policy/orders"
RATE_HZ = 5.0
FLOOD_HZ = 1000.0
LATENCY_S = 0.08  # age of the observation that a chunk rests on
PERIOD_S = 6.0
WIDTH_M = (0.06, 0.04)  # how far it goes along y and z

_TIMES = [seconds_to_duration(STEP_S * (step + 1)) for step in range(STEPS)]


class ScriptedPolicy:
    """Make chunks, faulty ones when ordered to; an order may come at any time."""

    def __init__(self, center: list[float]) -> None:
        """Move around a pose: position (3,) [m] and quaternion xyzw (4,)."""
        position, quaternion = tuple(center[:3]), tuple(center[3:])
        self._figure = FigureEight(position, quaternion, WIDTH_M, PERIOD_S, turn_rad=0.0, gripper_m=(0.04, 0.02))
        self._began_s = time.monotonic()
        self._sequence = 0
        self.order = "normal"
        self.shift_s = 0.0

    @property
    def rate_hz(self) -> float:
        """Chunks a second."""
        return FLOOD_HZ if self.order == "flood" else RATE_HZ

    def obey(self, line: str) -> None:
        """Take an order."""
        self.order, *numbers = line.split()
        self.shift_s = float(numbers[0]) if numbers else 0.0

    def chunk(self, ros_now_s: float) -> ActionChunk:
        """Return the next chunk, as if inference had taken a moment."""
        chunk = ActionChunk(mask_mode="policy", sequence=self._sequence, time_from_start=_TIMES)
        self._sequence += 1
        chunk.header.frame_id = "base_link"
        chunk.header.stamp = seconds_to_stamp(ros_now_s - LATENCY_S + self.shift_s)
        observed_s = time.monotonic() - LATENCY_S - self._began_s
        steps = zip(*self._figure.at(observed_s + STEP_S * (1.0 + np.arange(STEPS))), strict=True)
        for (x, y, z), quaternion, width in steps:
            orientation = Quaternion(**dict(zip("xyzw", map(float, quaternion), strict=True)))
            chunk.poses.append(Pose(position=Point(x=float(x), y=float(y), z=float(z)), orientation=orientation))
            chunk.gripper_width.append(float(width))
        if self.order == "nan":
            chunk.poses[STEPS // 2].position.y = math.nan
        return chunk


def main() -> None:
    """Publish until a signal ends the process."""
    policy = ScriptedPolicy([float(word) for word in sys.argv[1:8]])
    rclpy.init()
    node = Node("scripted_policy")
    publisher = node.create_publisher(ActionChunk, topics.ACTION_CHUNK, 1)
    node.create_subscription(String, ORDERS, lambda order: policy.obey(order.data), 10)
    due_s = time.monotonic()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        while True:
            publisher.publish(policy.chunk(node.get_clock().now().nanoseconds * 1e-9))
            due_s = max(due_s + 1.0 / policy.rate_hz, time.monotonic())
            while (wait_s := due_s - time.monotonic()) > 0.0:
                rclpy.spin_once(node, timeout_sec=wait_s)
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
