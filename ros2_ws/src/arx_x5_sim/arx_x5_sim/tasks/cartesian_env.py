# SPDX-License-Identifier: Apache-2.0
"""Cartesian control of a world at 10 Hz, as a policy sees it, and batched roll-outs in lock-step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arx_x5_driver.array import Array
from arx_x5_sim.world.arm import GRIPPER_WIDTH_MAX_M
from arx_x5_sim.world.camera import Camera, Image
from arx_x5_sim.world.scene import TIMESTEP_S
from arx_x5_sim.world.world import PEG_GRIP_WIDTH_M, TOOL_QUATERNION, Placement, World

RATE_HZ = 10.0
STEP_S = 1.0 / RATE_HZ
PHYSICS_STEPS = round(STEP_S / TIMESTEP_S)
TRANSLATION_MAX_M = 0.025  # in one step
WORKSPACE_MIN_M = np.array([0.23, -0.25, 0.051])  # the peg's tip just above the table
WORKSPACE_MAX_M = np.array([0.56, 0.25, 0.25])


@dataclass(frozen=True)
class Action:
    """The EEF's target one step later, in the frame `base_link`."""

    position: Array  # (3,) m
    quaternion: Array  # (4,) xyzw
    gripper_width: float  # m


@dataclass(frozen=True)
class Observation:
    """What a policy may see of a world."""

    image: Image | None  # (H, W, 3) RGB; None when nothing renders
    position: Array  # (3,) m
    quaternion: Array  # (4,) xyzw
    gripper_width: float  # m
    time_s: float


class CartesianEnv:
    """Control one world by Cartesian targets."""

    def __init__(self, world: World, place: Placement) -> None:
        """Control `world`; call `reset` before the first step.

        Args:
            world: whose state this object changes.
            place: puts the objects of the task where they start.
        """
        self.world = world
        self._place = place
        self._joints: Array = np.zeros(6)
        self._position: Array = np.zeros(3)

    def reset(self, seed: int) -> None:
        """Reset the world to `seed`."""
        self.world.reset(seed, self._place)
        self._joints = self.world.arm_reading().position
        self._position = self.world.eef_pose()[0]

    def observe(self, camera: Camera | None = None) -> Observation:
        """Return what a policy may see now, with an image when a camera is given."""
        position, quaternion = self.world.eef_pose()
        return Observation(
            image=None if camera is None else camera.render(self.world),
            position=position,
            quaternion=quaternion,
            gripper_width=self.world.arm_reading().gripper_width,
            time_s=self.world.time_s,
        )

    def step(self, eef_position: Array, eef_quaternion: Array, gripper_width: float) -> Action:
        """Move to a target within one step of 0.1 s.

        The target is clipped to the workspace, and to `TRANSLATION_MAX_M` from the previous one.

        Args:
            eef_position: (3,) m.
            eef_quaternion: (4,) xyzw.
            gripper_width: m.

        Returns:
            The target that was commanded.
        """
        offset = np.clip(eef_position, WORKSPACE_MIN_M, WORKSPACE_MAX_M) - self._position
        distance = float(np.linalg.norm(offset))
        position = self._position + offset * min(1.0, TRANSLATION_MAX_M / max(distance, 1e-9))
        width = float(np.clip(gripper_width, 0.0, GRIPPER_WIDTH_MAX_M))
        joints, reached = self.world.kinematics.inverse(position, eef_quaternion, self._joints)
        if not reached:
            position, eef_quaternion = self.world.kinematics.forward(joints)
        self._follow(joints, width)
        self._position = position
        return Action(position, np.asarray(eef_quaternion, dtype=np.float64), width)

    def _follow(self, joints: Array, gripper_width: float) -> None:
        start, velocity = self._joints, (joints - self._joints) / STEP_S
        for i in range(1, PHYSICS_STEPS + 1):
            self.world.set_joint_targets(start + velocity * (i * TIMESTEP_S), gripper_width, velocity)
            self.world.step()
        self._joints = joints


def home_action(position: Array) -> Action:
    """Return a target at `position` (3,) with the tool's home orientation, holding the peg."""
    return Action(position, TOOL_QUATERNION, PEG_GRIP_WIDTH_M)


def rollout(
    envs: Sequence[CartesianEnv],
    act: Callable[[list[Observation]], list[Action]],
    max_steps: int,
    solved: Callable[[World], bool],
    camera: Camera | None = None,
) -> NDArray[np.int64]:
    """Run reset environments in lock-step under one policy; those that are solved stand still.

    Args:
        envs: N environments, already reset, whose worlds share the camera's model.
        act: maps N observations to N actions. Observations of solved environments stay in the list, so that
            a policy with a history can index by position.
        max_steps: steps of 0.1 s after which the rest has failed.
        solved: tells whether the task of a world is solved.
        camera: renders the observations' images; None: they have no image.

    Returns:
        The number of steps until each environment was solved, or -1, (N,).
    """
    steps = np.full(len(envs), -1, dtype=np.int64)
    observations = [env.observe(camera) for env in envs]
    for step in range(1, max_steps + 1):
        for i, (env, action) in enumerate(zip(envs, act(observations), strict=True)):
            if steps[i] >= 0:
                continue
            env.step(action.position, action.quaternion, action.gripper_width)
            observations[i] = env.observe(camera)
            if solved(env.world):
                steps[i] = step
        if (steps >= 0).all():
            break
    return steps
