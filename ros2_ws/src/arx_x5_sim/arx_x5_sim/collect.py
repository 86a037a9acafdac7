# SPDX-License-Identifier: Apache-2.0
"""Collects demonstrations and play: `python -m arx_x5_sim.collect --out push.zarr --demonstrations 1400`.

The result depends on the seeds alone, not on the number of workers.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from arx_x5_sim.camera import Camera, RenderingUnavailableError
from arx_x5_sim.dataset import DatasetWriter
from arx_x5_sim.env import PushEnv
from arx_x5_sim.episodes import Episode, Kind, record
from arx_x5_sim.scene import RENDER_SIZE_MAX_PX, build_model
from arx_x5_sim.seeds import check_train_seeds
from arx_x5_sim.world import World

logger = logging.getLogger(__name__)

Task = tuple[Kind, int]


@cache
def _studio(image_size_px: int) -> tuple[PushEnv, Camera]:
    """What one process needs to record episodes; made at its first episode, where a failure is reported."""
    model = build_model()
    return PushEnv(World(model)), Camera(model, image_size_px, image_size_px)


def _record(image_size_px: int, task: Task) -> Episode:
    return record(*task, *_studio(image_size_px))


@contextmanager
def _recorded(tasks: Sequence[Task], workers: int, image_size_px: int) -> Iterator[Iterator[Episode]]:
    """Yields the tasks' episodes in the tasks' order."""
    record_one = partial(_record, image_size_px)
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
) -> dict[str, float]:
    """Records episodes and writes them to `out`; demonstrations that fail are left out and counted.

    Returns:
        Counts, and the stored demonstrations' lengths in steps.
    """
    seeds = check_train_seeds(seed_start, demonstrations + play)
    tasks = [(Kind.DEMONSTRATION, seed) for seed in seeds[:demonstrations]]
    tasks += [(Kind.PLAY, seed) for seed in seeds[demonstrations:]]
    attributes = {"command_line": command_line, "seed_start": seed_start, "seed_stop": seeds.stop}
    lengths: list[int] = []
    failed = frames = 0
    started = time.monotonic()
    with (
        DatasetWriter(out, attributes) as writer,
        _recorded(tasks, workers, image_size_px) as episodes,
    ):
        for episode in tqdm(episodes, total=len(tasks), unit="episode", mininterval=1.0):
            if episode.kind is Kind.DEMONSTRATION:
                if not episode.succeeded:
                    failed += 1
                    continue
                lengths.append(len(episode.arrays["action"]))
            writer.append(episode)
            frames += len(episode.arrays["action"])
    percentiles = np.percentile(lengths, [5, 50, 95]) if lengths else np.full(3, np.nan)
    return {
        "demonstrations": len(lengths),
        "failed": failed,
        "play": play,
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
    parser = argparse.ArgumentParser(prog="python -m arx_x5_sim.collect", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="Zarr store to write; must not exist")
    parser.add_argument("--demonstrations", type=int, default=1400, help="attempted demonstrations")
    parser.add_argument("--play", type=int, default=300, help="play episodes, on the seeds that follow")
    parser.add_argument("--seed-start", type=int, default=0, help="first task seed")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--image-size", type=int, default=128, help=f"pixels, up to {RENDER_SIZE_MAX_PX}")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        summary = collect(
            out=options.out,
            demonstrations=options.demonstrations,
            play=options.play,
            seed_start=options.seed_start,
            workers=options.workers,
            image_size_px=options.image_size,
            command_line=shlex.join(["python", "-m", "arx_x5_sim.collect", *arguments]),
        )
    except (ValueError, FileExistsError, FileNotFoundError, RenderingUnavailableError) as error:
        logger.error("%s", error)
        return 1
    logger.info("wrote %s: %s", options.out, ", ".join(f"{key} {value:g}" for key, value in summary.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
