# SPDX-License-Identifier: Apache-2.0
"""A driver on a desk: controller and loopback arm on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from arx_x5_driver.arm import ArmCommand, ArmState
from arx_x5_driver.arms.loopback import LoopbackArm
from arx_x5_driver.chunk import Chunk
from arx_x5_driver.control.controller import Controller
from arx_x5_driver.control.state import ENABLED, State
from arx_x5_driver.geometry.body import Body
from arx_x5_driver.geometry.kinematics import Kinematics, SdkKinematics
from arx_x5_driver.geometry.limits import LIMITS
from arx_x5_driver.geometry.se3 import Pose, quaternion_from_rpy, rpy_from_quaternion
from arx_x5_driver.parameters import DriverParameters
from arx_x5_driver.rules.chunk_gate import ChunkRejectedError
from arx_x5_driver.rules.rules import CLIP, STOP, default_actions

PAUSE_S = 0.09  # after this long without a command the controller takes the arm to stand still
START = np.array([0.0, 1.2, 1.3, 0.6, 0.0, 0.0])


class GantryKinematics:
    """An imaginary arm: three joints move the end effector, three turn it. Exact, invertible, fast."""

    ORIGIN = np.array([0.35, -0.18, 0.1])
    REACH_M = 0.5
    body = Body((), [0.0] * 6)
    levers_m = (0.15, 0.15, 0.15, 0.0, 0.0, 0.0)

    def forward(self, joints: np.ndarray) -> Pose:
        return Pose(self.ORIGIN + 0.15 * joints[:3], quaternion_from_rpy(*joints[3:]))

    def inverse(self, pose: Pose, seed: np.ndarray) -> np.ndarray | None:
        if np.linalg.norm(pose.position - self.ORIGIN) > self.REACH_M:
            return None
        return np.append((pose.position - self.ORIGIN) / 0.15, rpy_from_quaternion(pose.quaternion))

    def frames(self, joints: np.ndarray) -> np.ndarray:
        frames = np.tile(np.eye(4), (1, len(joints), 1, 1))
        frames[0, :, :3, 3] = self.ORIGIN + 0.15 * joints[:, :3]
        frames[0, :, :3, :3] = Rotation.from_euler("xyz", joints[:, 3:]).as_matrix()
        return frames

    def condition(self, joints: np.ndarray) -> float:
        return 1.0


@dataclass
class Rig:
    """Controller, arm and time; `commands` holds (time, command) of every tick that sent one."""

    controller: Controller
    kinematics: Kinematics
    parameters: DriverParameters
    now_s: float = 100.0
    arm: LoopbackArm = field(init=False)
    commands: list[tuple[float, ArmCommand]] = field(default_factory=list)
    frozen: ArmState | None = None
    actions: dict[str, str] = field(default_factory=default_actions)

    def __post_init__(self) -> None:
        self.arm = LoopbackArm(START, gripper_width=0.04, lag_s=0.02, clock=lambda: self.now_s)
        self.controller.configure()
        self.controller.activate()

    @property
    def pose(self) -> Pose:
        """Where the end effector is."""
        return self.kinematics.forward(self.arm.read().position)

    @property
    def period_s(self) -> float:
        return 1.0 / self.parameters.rate_hz

    def run(self, duration_s: float) -> None:
        """Let time pass."""
        end_s = self.now_s + duration_s
        while self.now_s < end_s - 1e-9:
            self.now_s += self.period_s
            command = self.controller.tick(self.now_s, self.frozen or self.arm.read())
            if command is not None:
                self.commands.append((self.now_s, command))
                self.arm.command(command)

    def enable(self) -> None:
        self.run(2 * self.period_s)
        self.controller.enable(self.now_s)
        self.run(2 * self.period_s)

    def freeze_feedback(self) -> None:
        self.frozen = self.arm.read()

    def snapshot(self) -> Any:
        return self.controller.snapshot(self.now_s)


class Witness:
    """Checks what a controller sends against the limits that its parameters ask for, and what it counts."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.expect(rig.parameters)
        self.offered = 0
        self.rejected = 0
        self.accepted_steps = 0
        self._sent: list[tuple[float, ArmCommand]] = []  # since the arm was enabled, after where it stood then

    def expect(self, asked: DriverParameters) -> None:
        """Expect the limits of these parameters, with the tolerances that the README states."""
        limits = LIMITS[asked.arm_model]
        margin_rad = asked.joint_margin_rad
        self.joints_min = np.append(np.array(limits.position_min) + margin_rad, 0.0)
        self.joints_max = np.append(np.array(limits.position_max) - margin_rad, limits.gripper_width_max)
        self.velocity = asked.velocity_fraction * np.array([*limits.velocity_max, limits.gripper_velocity_max])
        self.acceleration = np.array([asked.joint_acceleration_rad_s2] * 6 + [asked.gripper_acceleration_m_s2])
        self.jerk = np.array([asked.joint_jerk_rad_s3] * 6 + [asked.gripper_jerk_m_s3])
        self.acceleration_m_s2, self.jerk_m_s3 = asked.cartesian_acceleration_m_s2, asked.cartesian_jerk_m_s3
        self.lowest = np.array(asked.workspace_min_m) - 0.004
        self.highest = np.array(asked.workspace_max_m) + 0.004
        self.floor_m = asked.table_height_m + asked.table_clearance_m - 0.004
        self.keypoints = np.array(asked.gripper_keypoints_m).reshape(-1, 3)
        self.self_distance_m = asked.self_distance_m - 0.003
        self.speed_m_s, self.speed_rad_s = 1.07 * asked.cartesian_speed_m_s, 1.07 * asked.cartesian_speed_rad_s

    def enable(self) -> None:
        """Enable the arm, or raise what the controller raises; commands count from where it stands."""
        enabled = self.rig.controller.state.value in ("active", "holding")
        self.rig.controller.enable(self.rig.now_s)
        if not enabled:
            self.check()
            state = self.measured()
            self._sent = [(self.rig.now_s, ArmCommand(state.position, np.zeros(6), state.gripper_width))]

    def measured(self) -> ArmState:
        return self.rig.frozen or self.rig.arm.read()

    def offer(self, chunk: Chunk) -> None:
        """Offer a chunk whose times count from now, unless they are absurd."""
        rig = self.rig
        if np.isfinite(chunk.stamp_s) and abs(chunk.stamp_s) < 10.0:
            chunk = replace(chunk, stamp_s=rig.now_s + chunk.stamp_s, times_s=rig.now_s + chunk.times_s)
        before = rig.snapshot()
        self.offered += 1
        try:
            rig.controller.offer(chunk, rig.now_s)
        except ChunkRejectedError as rejection:
            after = rig.snapshot()
            expected = {**before.rule_counts, rejection.rule: before.rule_counts[rejection.rule] + 1}
            assert after.rule_counts == expected
            stopped = rig.actions[rejection.rule] == STOP and before.state in ENABLED
            assert after.state is (State.STOPPED if stopped else before.state)
            self.rejected += 1
        else:
            after = rig.snapshot()
            clipped = [rule for rule, count in before.rule_counts.items() if after.rule_counts[rule] != count]
            assert all(rig.actions[rule] == CLIP for rule in clipped)
            assert sum(after.rule_counts.values()) == sum(before.rule_counts.values()) + len(clipped)
            self.accepted_steps += len(chunk)
            assert rig.controller.state.value == "active"

    def run(self, duration_s: float, periods: Callable[[], float] = lambda: 1.0) -> None:
        """Let time pass in steps of so many control periods."""
        end_s = self.rig.now_s + duration_s
        while self.rig.now_s < end_s:
            self.rig.now_s += periods() * self.rig.period_s
            self.tick(self.rig.now_s)

    def tick(self, now_s: float) -> None:
        command = self.rig.controller.tick(now_s, self.measured())
        if command is not None:
            assert self._sent, "a command came before the arm was enabled"
            self._sent.append((now_s, command))
            self.rig.arm.command(command)
        elif self._sent:
            assert not self._sent[-1][1].moves, "commands ended while the arm moved"

    def audit(self) -> None:
        """No command broke a limit, and nothing was lost or counted twice."""
        self.check()
        snapshot = self.rig.snapshot()
        assert snapshot.chunks_accepted + snapshot.chunks_rejected == self.offered
        assert snapshot.chunks_rejected == self.rejected
        schedule = self.rig.controller.schedule
        counted = schedule.executed + schedule.dropped + schedule.superseded + schedule.pending
        assert counted == self.accepted_steps

    def check(self) -> None:
        """No command since the arm was enabled broke a limit."""
        if len(self._sent) < 2:
            return
        times_s = np.array([time_s for time_s, _ in self._sent])
        commands = [command for _, command in self._sent]
        q = np.array([[*command.position, command.gripper_width] for command in commands])
        v = np.array([[*command.velocity, command.gripper_velocity] for command in commands])
        a = np.array([command.acceleration for command in commands])
        assert np.isfinite(np.hstack((q, v, a))).all()
        elapsed_s = np.diff(times_s)[:, np.newaxis]
        assert (elapsed_s > 0.0).all()
        eps = 1e-9
        assert (q >= np.minimum(self.joints_min, q[0]) - eps).all()
        assert (q <= np.maximum(self.joints_max, q[0]) + eps).all()
        paused = elapsed_s[:, 0] > PAUSE_S
        assert (np.abs(v) <= self.velocity + eps).all()
        assert (np.abs(np.diff(q, axis=0)) <= self.velocity * elapsed_s + eps).all(), "velocity"
        # In a pause the arm stands still by itself: the motion begins anew from there.
        dv, da = v[1:] - np.where(paused[:, np.newaxis], 0.0, v[:-1]), np.diff(a, axis=0)
        da[paused] = a[1:][paused]
        assert (np.abs(dv) <= self.acceleration * elapsed_s + eps).all(), "acceleration"
        assert (np.abs(a) <= self.acceleration[:6] + eps).all()
        assert (np.abs(da) <= self.jerk[:6] * elapsed_s + eps).all(), "jerk"
        # Accelerations are what velocities do: after a pause motion goes on as if two periods had passed.
        moved_s = np.minimum(elapsed_s, 2.0 * self.rig.period_s)
        mean = dv[:, :6] / moved_s
        assert (np.abs(mean - (a[1:] - 0.5 * da)) <= 0.25 * self.jerk[:6] * moved_s + 1e-6).all()
        levers_m = np.array(self.rig.kinematics.levers_m)
        assert (np.abs(a) @ levers_m <= self.acceleration_m_s2 + 1e-6).all(), "the end effector is accelerated"
        assert (np.abs(da) @ levers_m <= self.jerk_m_s3 * elapsed_s[:, 0] + 1e-6).all(), "and jerked"
        self.check_tool(q[:, :6], np.diff(times_s))

    def check_tool(self, joints: np.ndarray, elapsed_s: np.ndarray) -> None:
        frames = self.rig.kinematics.frames(joints)
        positions, rotations = frames[-1, :, :3, 3], frames[-1, :, :3, :3]
        eps = 1e-6
        assert (positions >= np.minimum(self.lowest, positions[0]) - eps).all(), "out of the box"
        assert (positions <= np.maximum(self.highest, positions[0]) + eps).all(), "out of the box"
        heights = positions[:, 2] + (rotations[:, 2] @ self.keypoints.T).min(axis=1)
        assert (heights >= min(self.floor_m, heights[0]) - eps).all(), "below the table's clearance"
        ways = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        assert (ways <= self.speed_m_s * elapsed_s + 1e-9).all(), "too fast"
        turns = np.linalg.norm(np.diff(rotations, axis=0), axis=(1, 2)) / np.sqrt(2.0)
        assert (turns <= self.speed_rad_s * elapsed_s + 1e-7).all(), "turns too fast"
        distances = self.rig.kinematics.body.distances(frames)
        assert (distances >= np.minimum(self.self_distance_m, distances[0]) - eps).all(), "the arm touches itself"


@pytest.fixture(scope="session")
def make_witness(make_rig: Callable[..., Rig]) -> Callable[..., Witness]:
    """`make_witness(kinematics, joints, parameter=value, ...)`: it watches an enabled arm that stands there."""

    def make(
        kinematics: Kinematics | None = None, joints: np.ndarray = START, width_m: float = 0.04, **parameters: Any
    ) -> Witness:
        rig = make_rig(kinematics, **parameters)
        rig.arm = LoopbackArm(joints, gripper_width=width_m, lag_s=0.02, clock=lambda: rig.now_s)
        witness = Witness(rig)
        witness.run(2 * rig.period_s)
        witness.enable()
        return witness

    return make


@pytest.fixture(scope="session")
def sdk_kinematics() -> SdkKinematics:
    pytest.importorskip("arx5_interface")
    return SdkKinematics("X5_umi")


@pytest.fixture(scope="session")
def make_rig() -> Callable[..., Rig]:
    """`make_rig(parameter=value, ...)`: a rig that is not enabled yet."""

    def make(kinematics: Kinematics | None = None, **parameters: Any) -> Rig:
        kinematics = kinematics or GantryKinematics()
        asked = replace(DriverParameters(), **parameters)
        config = asked.controller_config()
        return Rig(Controller(config, kinematics), kinematics, asked, actions=dict(config.actions))

    return make


@pytest.fixture(scope="session")
def make_chunk() -> Callable[..., Chunk]:
    """`make_chunk(now_s, pose)`: 16 steps of 0.1 s that end 4 cm beside the pose, seen 20 ms ago."""

    def make(now_s: float, pose: Pose | None = None, sequence: int = 1, **changes: Any) -> Chunk:
        pose = pose or GantryKinematics().forward(START)
        stamp_s = now_s - 0.02
        chunk = Chunk(
            sequence=sequence,
            frame="base_link",
            stamp_s=stamp_s,
            times_s=stamp_s + 0.1 * np.arange(1, 17),
            positions=pose.position + np.linspace(0.0, 0.04, 16)[:, np.newaxis] * [0.0, 1.0, 0.0],
            quaternions=np.tile(pose.quaternion, (16, 1)),
            widths=np.linspace(0.04, 0.06, 16),
        )
        return replace(chunk, **changes)

    return make
