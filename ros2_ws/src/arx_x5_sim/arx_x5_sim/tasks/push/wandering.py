# SPDX-License-Identifier: Apache-2.0
"""Random motion: the baseline that a policy must beat, and noise for recorded motion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from arx_x5_driver.array import Array
from arx_x5_sim.tasks.cartesian_env import Action, Observation, home_action
from arx_x5_sim.world.arm import EEF_HEIGHT_M

WANDER_X_M = (0.24, 0.53)
WANDER_Y_M = (-0.18, 0.18)
WANDER_SPEED_M = (0.006, 0.014)  # per step of 0.1 s
WANDER_INERTIA = 0.7
WANDER_REACHED_M = 0.02
NEAR_OBJECT_M = 0.03


class Wanderer:
    """Move smoothly from one random waypoint to the next."""

    def __init__(self, rng: np.random.Generator, object_share: float = 0.0) -> None:
        """Draw everything from `rng`.

        Args:
            rng: source of the waypoints.
            object_share: share of waypoints that are near an object, where `act` is given objects.
        """
        self._rng = rng
        self._object_share = object_share
        self._waypoint: Array | None = None
        self._speed_m = 0.0
        self._step: Array = np.zeros(2)

    def act(self, position: Array, objects: Array | None = None) -> Action:
        """Return the next target from the EEF's position (3,) and, optionally, objects' positions (N, 2)."""
        if self._waypoint is None or float(np.linalg.norm(self._waypoint - position[:2])) < WANDER_REACHED_M:
            self._waypoint = self._draw_waypoint(objects)
            self._speed_m = self._rng.uniform(*WANDER_SPEED_M)
        direction = self._waypoint - position[:2]
        direction /= max(float(np.linalg.norm(direction)), 1e-9)
        self._step = WANDER_INERTIA * self._step + (1 - WANDER_INERTIA) * self._speed_m * direction
        return home_action(np.array([*(position[:2] + self._step), EEF_HEIGHT_M]))

    def _draw_waypoint(self, objects: Array | None) -> Array:
        if objects is not None and self._rng.random() < self._object_share:
            waypoint = objects[self._rng.integers(len(objects))] + self._rng.normal(0.0, NEAR_OBJECT_M, 2)
            return np.asarray(np.clip(waypoint, (WANDER_X_M[0], WANDER_Y_M[0]), (WANDER_X_M[1], WANDER_Y_M[1])))
        return np.array([self._rng.uniform(*WANDER_X_M), self._rng.uniform(*WANDER_Y_M)])


class RandomPolicy:
    """The random baseline of batched roll-outs: each environment has a wanderer of its own."""

    def __init__(self, seeds: Sequence[int]) -> None:
        """Make one wanderer for each of the environments' seeds."""
        self._wanderers = [Wanderer(np.random.default_rng([seed, 99])) for seed in seeds]

    def __call__(self, observations: list[Observation]) -> list[Action]:
        """Return an action for each observation."""
        return [w.act(o.position) for w, o in zip(self._wanderers, observations, strict=True)]


class ActionNoise:
    """Execution noise: jitter, rare kicks, slowly changing offsets, and a little tilt and height."""

    def __init__(self, rng: np.random.Generator, scale: float = 1.0) -> None:
        """Draw from `rng`; `scale` multiplies everything in the table's plane."""
        self._rng = rng
        self._scale = scale
        self._push_sd_m = scale * rng.choice([0.0, 0.002, 0.004])
        self._push: Array = np.zeros(2)
        self._height = 0.0
        self._tilt: Array = np.zeros(3)

    def apply(self, action: Action) -> Action:
        """Return `action` with noise: what is to be executed."""
        rng = self._rng
        offset = self._scale * rng.normal(0.0, 0.0025, 2)
        if rng.random() < 0.06:
            angle = rng.uniform(-np.pi, np.pi)
            offset += self._scale * 0.010 * np.array([np.cos(angle), np.sin(angle)])
        self._push = 0.8 * self._push + 0.6 * rng.normal(0.0, self._push_sd_m, 2)
        self._height = float(np.clip(0.8 * self._height + rng.normal(0.0, 0.0006), -0.003, 0.003))
        self._tilt = 0.8 * self._tilt + rng.normal(0.0, 0.006, 3)
        position = action.position + np.array([*(offset + self._push), self._height])
        rotation = Rotation.from_rotvec(self._tilt) * Rotation.from_quat(action.quaternion)
        return Action(position, rotation.as_quat(), action.gripper_width)
