# SPDX-License-Identifier: Apache-2.0
"""Record one episode: a demonstration by the expert, or play. A pure function of the seed.

Corrections, the third kind, need a policy: `uva_experiments.corrections` records them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from arx_x5_sim.tasks.cartesian_env import Action, CartesianEnv, Observation
from arx_x5_sim.tasks.push import task
from arx_x5_sim.tasks.push.expert import Expert, Pair
from arx_x5_sim.tasks.push.scene import BLOCK_NAMES, SQUARE_NAMES
from arx_x5_sim.tasks.push.wandering import ActionNoise, Wanderer
from arx_x5_sim.world.camera import Camera

DISTURBED_SHARE = 0.5
DISTURBANCE_STEPS = (5, 26)
EXPERT_STEPS_MAX = 150
STILL_STEPS = 8
PLAY_STEPS = 70
PLAY_PUSH_SHARE = 0.5
PLAY_NOISE_SCALE = 1.5


class Kind(Enum):
    """What an episode shows."""

    DEMONSTRATION = "demonstration"
    PLAY = "play"
    CORRECTION = "correction"


@dataclass
class Episode:
    """A recorded episode; `arrays` maps the data set's keys to arrays of T rows."""

    seed: int
    kind: Kind
    succeeded: bool
    arrays: dict[str, NDArray[Any]] = field(repr=False)


class Recorder:
    """Run an environment, and record each observation before the action that follows it."""

    def __init__(self, env: CartesianEnv, camera: Camera) -> None:
        """Record `env` with the images of `camera`."""
        self.env = env
        self._camera = camera
        self._observation: Observation | None = None
        self._rows: list[dict[str, Any]] = []

    def observe(self) -> Observation:
        """Return the present state. Its image is rendered once: the same one is recorded."""
        if self._observation is None:
            self._observation = self.env.observe(self._camera)
        return self._observation

    def step(self, executed: Action, expert: Action, is_expert: bool) -> None:
        """Record the present state with its actions, then execute."""
        observation, self._observation = self.observe(), None
        world = self.env.world
        row = {
            "camera0_rgb": observation.image,
            "robot0_eef_pos": observation.position,
            "robot0_eef_rot_axis_angle": _axis_angle(observation.quaternion),
            "robot0_gripper_width": [observation.gripper_width],
            "expert_action": _row(expert),
            "is_expert": is_expert,
            "block_pose": task.block_poses(world),
            "square_position": task.square_positions(world),
        }
        commanded = self.env.step(executed.position, executed.quaternion, executed.gripper_width)
        self._rows.append({**row, "action": _row(commanded)})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the recorded rows as one array a key, with the poses of UMI's layout for start and end."""
        arrays: dict[str, NDArray[Any]] = {}
        for key in self._rows[0]:
            column = np.stack([np.asarray(row[key]) for row in self._rows])
            arrays[key] = column.astype(np.float32) if column.dtype == np.float64 else column
        poses = np.concatenate([arrays["robot0_eef_pos"], arrays["robot0_eef_rot_axis_angle"]], axis=1)
        arrays["robot0_demo_start_pose"] = np.tile(poses[0], (len(poses), 1))
        arrays["robot0_demo_end_pose"] = np.tile(poses[-1], (len(poses), 1))
        return arrays


def record(kind: Kind, seed: int, env: CartesianEnv, camera: Camera) -> Episode:
    """Record the demonstration or the play episode of a seed."""
    env.reset(seed)
    recorder = Recorder(env, camera)
    if kind is Kind.DEMONSTRATION:
        succeeded = _demonstrate(recorder, np.random.default_rng([seed, 1]))
    else:
        _play(recorder, np.random.default_rng([seed, 2]))
        succeeded = task.solved(env.world)
    return Episode(seed, kind, succeeded, recorder.arrays())


def _demonstrate(recorder: Recorder, rng: np.random.Generator) -> bool:
    """Let the expert solve the task under noise, in half of the cases after a random disturbance."""
    world = recorder.env.world
    noise = ActionNoise(rng)
    if rng.random() < DISTURBED_SHARE:
        wanderer = Wanderer(rng, object_share=0.5)
        for _ in range(rng.integers(*DISTURBANCE_STEPS)):
            action = wanderer.act(world.eef_pose()[0], task.block_poses(world)[:, :2])
            recorder.step(noise.apply(action), Expert().act(world), is_expert=False)
    return solve(recorder, noise)


def solve(recorder: Recorder, noise: ActionNoise) -> bool:
    """Let the expert solve the task under noise from the present state; return whether it did, to a standstill."""
    world = recorder.env.world
    expert = Expert()
    still = 0
    for _ in range(EXPERT_STEPS_MAX):
        action = expert.act(world)
        still = still + 1 if expert.finished else 0
        recorder.step(action if expert.finished else noise.apply(action), action, is_expert=True)
        if still == STILL_STEPS:
            return task.solved(world)
    return False


def _play(recorder: Recorder, rng: np.random.Generator) -> None:
    """Move at random over the table, or push some block roughly towards some square."""
    world = recorder.env.world
    pushing = rng.random() < PLAY_PUSH_SHARE
    pair = Pair(int(rng.integers(len(BLOCK_NAMES))), int(rng.integers(len(SQUARE_NAMES))))
    expert = Expert(pair)
    wanderer = Wanderer(rng, object_share=0.7)
    noise = ActionNoise(rng, PLAY_NOISE_SCALE if pushing else 1.0)
    for _ in range(PLAY_STEPS):
        if pushing and not expert.finished:
            action = expert.act(world)
        else:
            action = wanderer.act(world.eef_pose()[0], task.block_poses(world)[:, :2])
        recorder.step(noise.apply(action), Expert().act(world), is_expert=False)


def _row(action: Action) -> NDArray[np.float64]:
    """Return position, axis-angle and gripper width, (7,)."""
    return np.concatenate([action.position, _axis_angle(action.quaternion), [action.gripper_width]])


def _axis_angle(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(Rotation.from_quat(quaternion).as_rotvec())
