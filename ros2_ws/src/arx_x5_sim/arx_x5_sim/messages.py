# SPDX-License-Identifier: Apache-2.0
"""Images and ground truth of the simulation as ROS messages."""

from __future__ import annotations

from array import array

import mujoco
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from arx_x5_sim.tasks.push import task
from arx_x5_sim.tasks.push.scene import BLOCK_NAMES, SQUARE_NAMES
from arx_x5_sim.world.camera import Image as Pixels
from arx_x5_sim.world.camera import focal_length_px
from arx_x5_sim.world.world import World
from uva_msgs.msg import WorldState

BASE_FRAME = "base_link"
CAMERA_FRAME = "camera_front_optical_frame"


def image_message(pixels: Pixels, stamp: Time) -> Image:
    """Return pixels (H, W, 3) RGB as a message."""
    height, width, channels = pixels.shape
    # The message accepts an array of bytes without checking each element.
    return Image(
        header=Header(stamp=stamp, frame_id=CAMERA_FRAME),
        height=height,
        width=width,
        encoding="rgb8",
        step=width * channels,
        data=array("B", pixels.tobytes()),
    )


def camera_info_message(width: int, height: int, stamp: Time) -> CameraInfo:
    """Return the intrinsics of the camera, an ideal pinhole."""
    f = focal_length_px(height)
    cx, cy = (width - 1) / 2, (height - 1) / 2  # in ROS the first pixel's centre is at 0
    return CameraInfo(
        header=Header(stamp=stamp, frame_id=CAMERA_FRAME),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[f, 0.0, cx, 0.0, f, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[f, 0.0, cx, 0.0, 0.0, f, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def world_state_message(world: World, stamp: Time) -> WorldState:
    """Return the ground truth of a world of the pushing task."""
    return WorldState(
        header=Header(stamp=stamp, frame_id=BASE_FRAME),
        seed=world.seed,
        blocks=[_pose(world.data, name) for name in BLOCK_NAMES],
        squares=[_pose(world.data, name) for name in SQUARE_NAMES],
        solved=task.solved(world),
    )


def _pose(data: mujoco.MjData, body_name: str) -> Pose:
    body = data.body(body_name)
    x, y, z = body.xpos.tolist()
    qw, qx, qy, qz = body.xquat.tolist()
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))
