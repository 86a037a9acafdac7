# SPDX-License-Identifier: Apache-2.0
"""A run of a driver on the simulated arm, in simulated time, and what it is judged by."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from arx_x5_driver.array import Array
from arx_x5_sim.world.mujoco_arm import arm_state
from arx_x5_sim.world.world import TOOL_QUATERNION, World
from uva_experiments.driver.figure_eight import FigureEight
from uva_experiments.driver.tracking.drivers import Follower

RATE_HZ = 200.0
FIGURE = FigureEight(center=(0.38, 0.0, 0.17), quaternion=tuple(map(float, TOOL_QUATERNION)))
CHUNK_HZ = 5.0
LATENCY_S = 0.1
"""From an observation to the arrival of the chunk made from it; measured in the running stack (docs/results.md)."""

RUN_IN_S = 2.0
"""Not judged: the arm starts from rest."""

_SETTLE_STEPS = 500
_FIGURE_POINTS = 2000


@dataclass(frozen=True)
class Recording:
    """Where the arm was and should have been at N control periods.

    Attributes:
        times_s: (N,).
        position: of the end effector, measured (N, 3) [m].
        wanted: the same as it should have been.
        turn_error_rad: angle between measured and wanted orientation (N,).
        joints: measured (N, 6) [rad].
    """

    times_s: Array
    position: Array
    wanted: Array
    turn_error_rad: Array
    joints: Array


@dataclass(frozen=True)
class Score:
    """How closely and how smoothly, without the run-in.

    Attributes:
        rms_mm: root mean square of the end effector's distance to where it should have been then.
        max_mm: largest such distance.
        path_rms_mm: root mean square of the distance to the nearest point of the figure: the error without lateness.
        rms_deg: root mean square of the angle to the wanted orientation.
        joint_jerk_max: largest jerk of a joint [rad/s^3].
        tool_jerk_max: largest jerk of the end effector [m/s^3].
    """

    rms_mm: float
    max_mm: float
    path_rms_mm: float
    rms_deg: float
    joint_jerk_max: float
    tool_jerk_max: float


def follow(
    model: mujoco.MjModel, follower: Follower, figure: FigureEight, duration_s: float, noise_m: float
) -> Recording:
    """Let a driver follow a figure.

    Args:
        model: of the simulated world, with a time step that divides the control period.
        follower: a new driver.
        figure: what to follow; the arm starts in its middle, at rest.
        duration_s: of simulated time, the run-in included.
        noise_m: standard deviation of the offset by which each chunk, as a whole, is wrong.
    """
    world = World(model)
    _put_at_start(world, figure)
    physics_steps = round(1.0 / RATE_HZ / model.opt.timestep)
    random = np.random.default_rng(0)
    count = round(duration_s * RATE_HZ)
    times_s = np.arange(1, count + 1) / RATE_HZ
    wanted, wanted_quaternions, _ = figure.at(times_s)
    position, quaternions, joints = np.empty((count, 3)), np.empty((count, 4)), np.empty((count, 6))
    follower.start(0.0, arm_state(0.0, world.arm_reading()))
    sequence, chunk_s = 0, LATENCY_S
    for index, now_s in enumerate(times_s.tolist()):
        if now_s >= chunk_s - 1e-9:
            follower.offer(figure.chunk(sequence, now_s - LATENCY_S, noise_m * random.normal(size=3)), now_s)
            sequence, chunk_s = sequence + 1, chunk_s + 1.0 / CHUNK_HZ
        command = follower.tick(now_s, arm_state(now_s, world.arm_reading()))
        # Before the command takes effect: where the arm is now.
        position[index], quaternions[index] = world.eef_pose()
        joints[index] = world.arm_reading().position
        if command is not None:
            world.set_joint_targets(command.position, command.gripper_width, command.velocity)
        world.step(physics_steps)
    turn_error = (Rotation.from_quat(wanted_quaternions) * Rotation.from_quat(quaternions).inv()).magnitude()
    return Recording(times_s, position, wanted, np.asarray(turn_error), joints)


def score(recording: Recording, figure: FigureEight) -> Score:
    """Judge a run."""
    judged = recording.times_s > RUN_IN_S
    distance_m = np.linalg.norm(recording.position - recording.wanted, axis=1)[judged]
    points, _, _ = figure.at(np.linspace(0.0, figure.period_s, _FIGURE_POINTS, dtype=np.float64))
    path_m, _ = KDTree(points).query(recording.position[judged])
    return Score(
        rms_mm=1e3 * _rms(distance_m),
        max_mm=1e3 * float(distance_m.max()),
        path_rms_mm=1e3 * _rms(np.asarray(path_m)),
        rms_deg=float(np.rad2deg(_rms(recording.turn_error_rad[judged]))),
        joint_jerk_max=float(np.abs(_jerk(recording.joints[judged])).max()),
        tool_jerk_max=float(np.linalg.norm(_jerk(recording.position[judged]), axis=1).max()),
    )


def _put_at_start(world: World, figure: FigureEight) -> None:
    positions, _, widths = figure.at(np.zeros(1))
    world.reset(0, lambda _world, _rng: positions[0])  # no task: an empty table
    world.set_joint_targets(world.arm_reading().position, float(widths[0]))
    world.step(_SETTLE_STEPS)


def _jerk(values: Array) -> Array:
    return np.diff(values, n=3, axis=0) * RATE_HZ**3


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
