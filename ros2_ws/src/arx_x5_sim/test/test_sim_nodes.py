# SPDX-License-Identifier: Apache-2.0
"""Camera node and driver in one process, over DDS, in a context of their own."""

import threading
import time

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_srvs.srv import Trigger

from arx_x5_driver.node import ArxX5Driver
from arx_x5_sim.camera_node import NO_ROS_TIME, SimCamera
from arx_x5_sim.tasks.push.task import block_poses, place, square_positions
from arx_x5_sim.world.camera import focal_length_px
from arx_x5_sim.world.mujoco_arm import MujocoArm
from arx_x5_sim.world.simulation import Simulation
from arx_x5_sim.world.world import World
from uva_msgs.msg import DriverStatus, WorldState
from uva_msgs.srv import ResetWorld

pytestmark = pytest.mark.system

SEED = 3
TOPICS = {
    "camera/image_raw": (Image, qos_profile_sensor_data),
    "camera/camera_info": (CameraInfo, qos_profile_sensor_data),
    "x5/joint_states": (JointState, 10),
    "x5/status": (DriverStatus, 10),
    "sim/world_state": (WorldState, 10),
}


class Client:
    """Holds the newest message of each topic and calls services."""

    def __init__(self, context):
        self._node = rclpy.create_node("client", context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self.newest = {}
        for topic, (kind, qos) in TOPICS.items():
            self._node.create_subscription(kind, topic, lambda m, t=topic: self.newest.update({t: m}), qos)

    def wait_for(self, condition, timeout_s=20.0):
        end_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end_s, f"nothing happened within {timeout_s} s"
            self._executor.spin_once(timeout_sec=0.05)

    def newest_after_now(self, topic):
        self.newest.pop(topic, None)
        self.wait_for(lambda: topic in self.newest)
        return self.newest[topic]

    def listen(self, kind, topic, callback):
        self._node.create_subscription(kind, topic, callback, 10)

    def call(self, kind, name, request):
        client = self._node.create_client(kind, name)
        assert client.wait_for_service(timeout_sec=20.0)
        future = client.call_async(request)
        self.wait_for(future.done)
        return future.result()

    def send(self, topic, message):
        publisher = self._node.create_publisher(type(message), topic, 1)
        self.wait_for(publisher.get_subscription_count)
        publisher.publish(message)

    def close(self):
        self._executor.shutdown()
        self._node.destroy_node()


@pytest.fixture
def unclocked(model):
    """A camera whose time is that of /clock, and a client beside it."""
    context = Context()
    rclpy.init(context=context)
    simulation = Simulation(model, place)
    camera = SimCamera(simulation, context=context, parameter_overrides=[Parameter("use_sim_time", value=True)])
    simulation.start()
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(camera)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    client = Client(context)
    yield client
    client.close()
    executor.shutdown()
    thread.join()
    camera.wind_down()
    camera.destroy_node()
    simulation.stop()
    rclpy.shutdown(context=context)


def test_before_ros_time_starts_nothing_is_published_and_a_warning_says_why(unclocked):
    said = []
    unclocked.listen(DiagnosticArray, "/diagnostics", lambda array: said.extend(s.message for s in array.status))
    unclocked.wait_for(lambda: NO_ROS_TIME in said)
    assert "camera/image_raw" not in unclocked.newest
    unclocked.send("/clock", Clock(clock=Time(sec=100)))
    unclocked.wait_for(lambda: "camera/image_raw" in unclocked.newest)
    assert unclocked.newest["camera/image_raw"].header.stamp.sec == 99
    unclocked.wait_for(lambda: said[-1] == "in real time")


@pytest.fixture
def client(model):
    context = Context()
    rclpy.init(context=context)
    simulation = Simulation(model, place)
    camera = SimCamera(simulation, context=context, parameter_overrides=[Parameter("seed", value=SEED)])
    driver = ArxX5Driver(
        MujocoArm(simulation),
        context=context,
        parameter_overrides=[Parameter("enable_on_activate", value=True)],
    )
    simulation.start()
    executor = MultiThreadedExecutor(num_threads=2, context=context)
    for node in (camera, driver):
        executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    client = Client(context)
    yield client
    client.close()
    executor.shutdown()
    thread.join()
    for node in (driver, camera):
        node.wind_down()
        node.destroy_node()
    simulation.stop()
    rclpy.shutdown(context=context)


def test_what_the_simulation_publishes(model, client):
    client.wait_for(lambda: len(client.newest) == len(TOPICS))
    image, info, joints, _, state = (client.newest[topic] for topic in TOPICS)

    assert (image.width, image.height, image.step, image.encoding) == (128, 128, 384, "rgb8")
    assert len(np.unique(np.asarray(image.data))) > 20
    assert image.header.frame_id == info.header.frame_id == "camera_front_optical_frame"
    assert abs(time.time() - image.header.stamp.sec) < 5.0
    assert info.k[0] == info.k[4] == pytest.approx(focal_length_px(128))
    assert list(joints.name) == [*(f"joint{i}" for i in range(1, 7)), "gripper"]

    assert (state.seed, state.solved, state.header.frame_id) == (SEED, False, "base_link")
    world = World(model)
    world.reset(SEED, place)
    blocks = np.array([(b.position.x, b.position.y) for b in state.blocks])
    squares = np.array([(s.position.x, s.position.y) for s in state.squares])
    np.testing.assert_allclose(blocks, block_poses(world)[:, :2], atol=1e-3)
    np.testing.assert_allclose(squares, square_positions(world), atol=1e-9)


def test_a_reset_needs_a_stopped_driver_and_leaves_the_arm_alone(model, client):
    client.wait_for(lambda: "x5/status" in client.newest and client.newest["x5/status"].state == "holding")
    # On a machine that is so busy that no command comes for a while, the first ones may be granted.
    answers = []
    client.wait_for(
        lambda: (
            not answers.append(client.call(ResetWorld, "sim/reset", ResetWorld.Request(seed=6)))
            and not answers[-1].success
        )
    )
    assert "call x5/stop" in answers[-1].message

    assert client.call(Trigger, "x5/stop", Trigger.Request()).success
    answer = client.call(ResetWorld, "sim/reset", ResetWorld.Request(seed=7))
    assert answer.success, answer.message
    client.wait_for(lambda: client.newest["sim/world_state"].seed == 7)

    world = World(model)
    world.reset(7, place)
    start = world.arm_reading().position
    client.newest_after_now("x5/joint_states")
    for _ in range(20):
        joints = client.newest_after_now("x5/joint_states").position[:6]
        assert np.abs(np.array(joints) - start).max() < 2e-3
    assert client.newest_after_now("x5/status").state == "stopped"

    assert client.call(Trigger, "x5/enable", Trigger.Request()).success
    client.wait_for(lambda: client.newest["x5/status"].state == "holding")
    joints = client.newest_after_now("x5/joint_states").position[:6]
    assert np.abs(np.array(joints) - start).max() < 5e-3


def test_a_block_goes_where_it_is_put_while_the_arm_is_enabled(model, client):
    client.wait_for(lambda: len(client.newest) == len(TOPICS))
    still = client.newest["sim/world_state"].blocks[0].position
    goal = PoseStamped()
    goal.pose.position.x, goal.pose.position.y = 0.4, 0.6
    goal.pose.orientation.z = goal.pose.orientation.w = np.sqrt(0.5)
    goal.header.frame_id = "map"
    client.send("sim/move_block_red", goal)  # that may be anywhere
    goal.header.frame_id = "base_link"
    client.send("sim/move_block_blue", goal)
    client.wait_for(lambda: client.newest["sim/world_state"].blocks[1].position.y > 0.5)
    red, blue = client.newest_after_now("sim/world_state").blocks
    assert (red.position.x, red.position.y) == pytest.approx((still.x, still.y), abs=1e-3)
    assert (blue.position.x, blue.position.y, blue.orientation.z) == pytest.approx((0.4, 0.6, np.sqrt(0.5)), abs=2e-3)
