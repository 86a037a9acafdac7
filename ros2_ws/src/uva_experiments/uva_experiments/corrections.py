# SPDX-License-Identifier: Apache-2.0
"""Collect corrections: a policy drives, and where it has not solved the task by then, the expert takes over.

    python -m uva_experiments.corrections --out runs/uva_tiny/corrections_1.zarr --seeds 1700:2000 \\
        --policy runs/uva_tiny/policy.safetensors

Demonstrations never show the states that a policy's own errors lead to; corrections show how to get out of them
(DAgger: Ross, Gordon, Bagnell, "A reduction of imitation learning ...", AISTATS 2011). The policy's steps are marked as
not the expert's: they are history to see and video to learn from, but are not imitated. Seeds that the policy had
solved by then are left out. The result depends on the seeds and the policy alone, not on the number of workers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from arx_x5_sim.collection.collect import add_options, env_and_camera, run
from arx_x5_sim.collection.episodes import Episode, Kind, Recorder, solve
from arx_x5_sim.collection.options import parse_seeds
from arx_x5_sim.tasks.cartesian_env import CartesianEnv
from arx_x5_sim.tasks.push.expert import Expert
from arx_x5_sim.tasks.push.task import place, solved
from arx_x5_sim.tasks.push.wandering import ActionNoise
from arx_x5_sim.world.camera import Camera
from arx_x5_sim.world.world import World
from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.policy.policy import UvaPolicy
from uva_experiments.uva_actor import UvaActor

TAKE_OVER_STEPS = (15, 60)
LOCKSTEP = 20  # episodes in a batch, because a network is faster on batches


def record_corrections(
    seeds: Sequence[int], policy: UvaPolicy, envs: Sequence[CartesianEnv], camera: Camera
) -> list[Episode]:
    """Record up to one correction per seed, in lock-step; the first seed decides when the expert takes over.

    Args:
        seeds: N task seeds.
        policy: drives until then.
        envs: at least N environments, which share the camera's model.
        camera: renders the images that are recorded and that the policy sees.

    Returns:
        The episodes of those seeds that the policy had not solved when its time was over, in the seeds' order.
    """
    recorders = [Recorder(env, camera) for env in envs[: len(seeds)]]
    for recorder, seed in zip(recorders, seeds, strict=True):
        recorder.env.reset(seed)
    actor = UvaActor(policy, seeds)
    for _ in range(np.random.default_rng([seeds[0], 3]).integers(*TAKE_OVER_STEPS)):
        actions = actor([recorder.observe() for recorder in recorders])
        for recorder, action in zip(recorders, actions, strict=True):
            world = recorder.env.world
            if not solved(world):
                recorder.step(action, Expert().act(world), is_expert=False)
    episodes = []
    for recorder, seed in zip(recorders, seeds, strict=True):
        if not solved(recorder.env.world):
            succeeded = solve(recorder, ActionNoise(np.random.default_rng([seed, 4])))
            episodes.append(Episode(seed, Kind.CORRECTION, succeeded, recorder.arrays()))
    return episodes


@cache
def _policy(path: Path) -> UvaPolicy:
    torch.set_num_threads(1)  # there is a process for each core
    try:
        return UvaPolicy.load(path)
    except CheckpointError as error:
        raise ValueError(str(error)) from None


@cache
def _envs(image_size_px: int) -> list[CartesianEnv]:
    model = env_and_camera(image_size_px)[0].world.model
    return [CartesianEnv(World(model), place) for _ in range(LOCKSTEP)]


def _record(policy: Path, image_size_px: int, seeds: Sequence[int]) -> list[Episode]:
    _, camera = env_and_camera(image_size_px)
    return record_corrections(seeds, _policy(policy), _envs(image_size_px), camera)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        prog="python -m uva_experiments.corrections",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.add_argument("--policy", type=Path, required=True, help="checkpoint to correct")
    parser.add_argument("--seeds", type=parse_seeds, required=True, help="first:count, training seeds")
    options = parser.parse_args(arguments)
    record = partial(_record, options.policy, options.image_size)
    batches = [(record, options.seeds[i : i + LOCKSTEP]) for i in range(0, len(options.seeds), LOCKSTEP)]
    return run(options.out, batches, options.workers, ["python", "-m", "uva_experiments.corrections", *arguments])


if __name__ == "__main__":
    sys.exit(main())
