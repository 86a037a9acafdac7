# SPDX-License-Identifier: Apache-2.0
"""Collects demonstrations and play, or corrections of a policy by the expert, for training.

    python -m arx_x5_sim.collection.collect --out data/push.zarr --demonstrations 1400 --play 300
    python -m arx_x5_sim.collection.collect --out runs/uva_tiny/corrections_1.zarr --demonstrations 0 --play 0 \\
        --corrections 2000 --seed-start 1700 --policy runs/uva_tiny/policy.safetensors

Each episode has a seed of its own, in the order of these options. A correction is an episode in which a policy drives
until the expert takes over; seeds that the policy had solved by then are left out. The result depends on the seeds (and
on the policy) alone, not on the number of workers.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from arx_x5_sim.collection.dataset import DatasetWriter
from arx_x5_sim.collection.episodes import Episode, Kind, record
from arx_x5_sim.collection.seeds import check_train_seeds
from arx_x5_sim.tasks.cartesian_env import PushEnv
from arx_x5_sim.world.camera import Camera, RenderingUnavailableError
from arx_x5_sim.world.scene import RENDER_SIZE_MAX_PX, build_model
from arx_x5_sim.world.world import World

if TYPE_CHECKING:
    from uva_core.policy.policy import UvaPolicy

logger = logging.getLogger(__name__)

LOCKSTEP = 20  # corrections are recorded so many at once, because a network is faster on batches

Task = tuple[Kind, Sequence[int]]  # one seed, but for corrections


@cache
def _studio(image_size_px: int) -> tuple[list[PushEnv], Camera]:
    """What one process needs to record episodes; made at its first episode, where a failure is reported."""
    model = build_model()
    return [PushEnv(World(model)) for _ in range(LOCKSTEP)], Camera(model, image_size_px, image_size_px)


@cache
def _policy(path: Path) -> UvaPolicy:
    # Imported late: without corrections nobody should wait for torch.
    import torch

    from uva_core.checkpoint.safetensors_file import CheckpointError
    from uva_core.policy.policy import UvaPolicy

    torch.set_num_threads(1)  # there is a process for each core
    try:
        return UvaPolicy.load(path)
    except CheckpointError as error:
        raise ValueError(str(error)) from None


def _record(image_size_px: int, policy: Path | None, task: Task) -> list[Episode]:
    kind, seeds = task
    envs, camera = _studio(image_size_px)
    if kind is not Kind.CORRECTION:
        return [record(kind, seed, envs[0], camera) for seed in seeds]
    from uva_experiments.corrections import record_corrections

    if policy is None:
        raise ValueError("corrections need a policy to correct: --policy")
    return record_corrections(seeds, _policy(policy), envs, camera)


@contextmanager
def _recorded(
    tasks: Sequence[Task], workers: int, image_size_px: int, policy: Path | None
) -> Iterator[Iterator[list[Episode]]]:
    """Yields the tasks' episodes in the tasks' order."""
    record_one = partial(_record, image_size_px, policy)
    if workers == 1:
        yield map(record_one, tasks)
        return
    # Spawned, not forked: an OpenGL context does not survive a fork.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield pool.imap(record_one, tasks, chunksize=2)


def collect(
    *,
    out: Path,
    demonstrations: int,
    play: int,
    seed_start: int,
    workers: int,
    image_size_px: int,
    command_line: str,
    corrections: int = 0,
    policy: Path | None = None,
) -> dict[str, float]:
    """Records episodes and writes them to `out`; those in which the expert fails are left out and counted.

    Returns:
        Counts, and the lengths in steps of the stored demonstrations and corrections.
    """
    seeds = check_train_seeds(seed_start, demonstrations + play + corrections)
    play_stop = demonstrations + play
    tasks: list[Task] = [(Kind.DEMONSTRATION, [seed]) for seed in seeds[:demonstrations]]
    tasks += [(Kind.PLAY, [seed]) for seed in seeds[demonstrations:play_stop]]
    tasks += [(Kind.CORRECTION, seeds[i : i + LOCKSTEP]) for i in range(play_stop, len(seeds), LOCKSTEP)]
    attributes = {"command_line": command_line, "seed_start": seed_start, "seed_stop": seeds.stop}
    lengths: list[int] = []
    stored: Counter[Kind] = Counter()
    failed = frames = 0
    started = time.monotonic()
    with (
        DatasetWriter(out, attributes) as writer,
        _recorded(tasks, workers, image_size_px, policy) as recorded,
        tqdm(total=len(seeds), unit="seed", mininterval=1.0) as bar,
    ):
        for (_, tried), episodes in zip(tasks, recorded, strict=True):
            bar.update(len(tried))
            for episode in episodes:
                if episode.kind is not Kind.PLAY:
                    if not episode.succeeded:
                        failed += 1
                        continue
                    lengths.append(len(episode.arrays["action"]))
                writer.append(episode)
                stored[episode.kind] += 1
                frames += len(episode.arrays["action"])
    percentiles = np.percentile(lengths, [5, 50, 95]) if lengths else np.full(3, np.nan)
    return {
        "demonstrations": stored[Kind.DEMONSTRATION],
        "play": stored[Kind.PLAY],
        "corrections": stored[Kind.CORRECTION],
        "failed": failed,
        "frames": frames,
        "length_mean": float(np.mean(lengths)) if lengths else float("nan"),
        "length_p5": float(percentiles[0]),
        "length_p50": float(percentiles[1]),
        "length_p95": float(percentiles[2]),
        "duration_s": time.monotonic() - started,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        prog="python -m arx_x5_sim.collection.collect",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="Zarr store to write; must not exist")
    parser.add_argument("--demonstrations", type=int, default=1400, help="attempted demonstrations (default 1400)")
    parser.add_argument("--play", type=int, default=300, help="play episodes (default 300)")
    parser.add_argument("--corrections", type=int, default=0, help="seeds on which --policy drives first (default 0)")
    parser.add_argument("--policy", type=Path, help="checkpoint to correct")
    parser.add_argument("--seed-start", type=int, default=0, help="first task seed")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--image-size", type=int, default=128, help=f"pixels, up to {RENDER_SIZE_MAX_PX}")
    options = parser.parse_args(arguments)
    if (options.corrections > 0) != (options.policy is not None):
        parser.error("--corrections and --policy need each other")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        summary = collect(
            out=options.out,
            demonstrations=options.demonstrations,
            play=options.play,
            corrections=options.corrections,
            policy=options.policy,
            seed_start=options.seed_start,
            workers=options.workers,
            image_size_px=options.image_size,
            command_line=shlex.join(["python", "-m", "arx_x5_sim.collection.collect", *arguments]),
        )
    except (ValueError, FileExistsError, FileNotFoundError, RenderingUnavailableError) as error:
        logger.error("%s", error)
        return 1
    logger.info("wrote %s: %s", options.out, ", ".join(f"{key} {value:g}" for key, value in summary.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
