# SPDX-License-Identifier: Apache-2.0
"""Pretends to be simulator, camera and driver: a block slides into a square while the arm is enabled."""

import sys
from contextlib import suppress

import numpy as np
import rclpy
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_srvs.srv import Trigger

from uva_msgs.msg import ActionChunk, DriverStatus, WorldState
from uva_msgs.srv import ResetWorld

PERIOD_S = 0.05
SPEED_M_S = 0.05


def pose(x: float) -> Pose:
    return Pose(position=Point(x=x, y=0.0, z=0.0), orientation=Quaternion(w=1.0))


class FakeSim(Node):
    def __init__(self, behaviour: str) -> None:
        super().__init__("arx_x5_driver")
        self.behaviour = behaviour
        self.enabled = False
        self.seed, self.block_x = 0, 0.3
        self.status = DriverStatus(loop_period_error_p99=0.0004)
        self.world = self.create_publisher(WorldState, "sim/world_state", 10)
        self.image = self.create_publisher(Image, "camera/image_raw", qos_profile_sensor_data)
        self.joints = self.create_publisher(JointState, "x5/joint_states", 10)
        self.eef = self.create_publisher(PoseStamped, "x5/eef_pose", 10)
        self.states = self.create_publisher(DriverStatus, "x5/status", 10)
        self.create_subscription(ActionChunk, "uva/action_chunk", self.on_chunk, 10)
        self.create_service(Trigger, "x5/enable", lambda _, answer: self.enable(True, answer))
        self.create_service(Trigger, "x5/stop", lambda _, answer: self.enable(False, answer))
        self.create_service(ResetWorld, "sim/reset", self.reset)
        self.create_timer(PERIOD_S, self.tick)
        self.get_logger().info("fake simulator runs")

    def enable(self, enabled: bool, answer: Trigger.Response) -> Trigger.Response:
        self.enabled = enabled
        answer.success = True
        return answer

    def reset(self, request: ResetWorld.Request, answer: ResetWorld.Response) -> ResetWorld.Response:
        self.seed, self.block_x = request.seed, 0.3
        answer.success = self.behaviour != "refuse_reset"
        answer.message = "no such scene"
        return answer

    def on_chunk(self, _: ActionChunk) -> None:
        if self.enabled:
            self.status.chunks_accepted += 1
            self.status.steps_executed += 2
        else:
            self.status.chunks_rejected += 1

    def tick(self) -> None:
        now = self.get_clock().now().to_msg()
        if self.enabled:
            self.block_x += SPEED_M_S * PERIOD_S
        self.status.state = DriverStatus.STATE_ACTIVE if self.enabled else DriverStatus.STATE_STOPPED
        if self.behaviour == "fault_when_driven" and self.block_x > 0.32:
            self.status.state, self.status.reason = DriverStatus.STATE_FAULT, "the arm does not answer"
        elif self.behaviour == "fault_until_enabled" and not self.enabled:
            self.status.state, self.status.reason = DriverStatus.STATE_FAULT, "not ready yet"
        elif self.enabled and self.behaviour == "die_when_enabled":
            print("the simulator has crashed", flush=True)
            sys.exit(3)
        world = WorldState(seed=self.seed, blocks=[pose(self.block_x), pose(0.9)], squares=[pose(0.5)])
        world.solved = self.block_x > 0.5 - 0.04 and self.seed % 2 == 0
        joints = JointState(name=[*(f"joint{n}" for n in range(1, 7)), "gripper"], position=[0.0] * 6 + [0.04])
        eef = PoseStamped(pose=pose(0.2))
        for message in (world, joints, eef, self.status):
            message.header.stamp = now
        self.world.publish(world)
        self.joints.publish(joints)
        self.eef.publish(eef)
        self.states.publish(self.status)
        if self.behaviour != "blind":
            pixels = np.full((128, 128, 3), 40, np.uint8)
            column = int(self.block_x * 200)
            pixels[60:70, column : column + 10] = (220, 60, 60)
            image = Image(height=128, width=128, step=384, encoding="rgb8", data=pixels.tobytes())
            image.header.stamp = now
            self.image.publish(image)


def main() -> None:
    rclpy.init()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(FakeSim(sys.argv[1]))


if __name__ == "__main__":
    main()
