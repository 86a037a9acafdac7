# SPDX-License-Identifier: Apache-2.0
"""A clock for nodes with `use_sim_time`: the system's, until it is told to jump.

`python -m uva_experiments.driver.faults.clock` publishes `/clock`, and takes the scripted policy's orders `shift S` and
`normal`.
"""

from __future__ import annotations

import time
from contextlib import suppress

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String

from uva_experiments.driver.faults.scripted import ORDERS
from uva_node_utils.time import seconds_to_stamp

_PERIOD_S = 0.005


def main() -> None:
    """Publish until a signal ends the process."""
    shift_s = 0.0

    def obey(order: String) -> None:
        nonlocal shift_s
        _, *numbers = order.data.split()
        shift_s = float(numbers[0]) if numbers else 0.0

    rclpy.init()
    node = Node("jumping_clock")
    publisher = node.create_publisher(Clock, "/clock", 1)
    node.create_subscription(String, ORDERS, obey, 10)
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        while True:
            publisher.publish(Clock(clock=seconds_to_stamp(time.time() + shift_s)))
            rclpy.spin_once(node, timeout_sec=_PERIOD_S)
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
