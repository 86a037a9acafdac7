# SPDX-License-Identifier: Apache-2.0
"""Records corrections: a policy drives, and where it has not solved the task by then, the expert takes over.

Demonstrations never show the states that a policy's own errors lead to; corrections show the way out of them
(DAgger: Ross, Gordon, Bagnell, "A reduction of imitation learning ...", AISTATS 2011). The policy's steps are recorded
as not the expert's, so that they are history to see, and video to learn from, but nothing to imitate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from arx_x5_sim.collection.episodes import Episode, Kind, Recorder, solve
from arx_x5_sim.tasks.cartesian_env import PushEnv
from arx_x5_sim.tasks.push.expert import Expert
from arx_x5_sim.tasks.push.wandering import ActionNoise
from arx_x5_sim.world.camera import Camera
from uva_core.policy.policy import UvaPolicy
from uva_experiments.uva_actor import UvaActor

TAKE_OVER_STEPS = (15, 60)
EXECUTE_STEPS = 2  # between two plans, as the node at 5 Hz


def record_corrections(
    seeds: Sequence[int], policy: UvaPolicy, envs: Sequence[PushEnv], camera: Camera
) -> list[Episode]:
    """Records up to one correction per seed, in lock-step; the first seed decides when the expert takes over.

    Args:
        seeds: N task seeds.
        policy: what drives until then.
        envs: at least N environments, which share the camera's model.
        camera: renders the images that are recorded and that the policy sees.

    Returns:
        The episodes of those seeds that the policy had not solved when its time was over, in the seeds' order.
    """
    recorders = [Recorder(env, camera) for env in envs[: len(seeds)]]
    for recorder, seed in zip(recorders, seeds, strict=True):
        recorder.env.reset(seed)
    actor = UvaActor(policy, seeds, execute=EXECUTE_STEPS)
    for _ in range(np.random.default_rng([seeds[0], 3]).integers(*TAKE_OVER_STEPS)):
        actions = actor([recorder.observe() for recorder in recorders])
        for recorder, action in zip(recorders, actions, strict=True):
            world = recorder.env.world
            if not world.solved():
                recorder.step(action, Expert().act(world), is_expert=False)
    episodes = []
    for recorder, seed in zip(recorders, seeds, strict=True):
        if not recorder.env.world.solved():
            succeeded = solve(recorder, ActionNoise(np.random.default_rng([seed, 4])))
            episodes.append(Episode(seed, Kind.CORRECTION, succeeded, recorder.arrays()))
    return episodes
