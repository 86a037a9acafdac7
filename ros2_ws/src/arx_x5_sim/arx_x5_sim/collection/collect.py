# SPDX-License-Identifier: Apache-2.0
"""Collect demonstrations and play to train on.

    python -m arx_x5_sim.collection.collect --out data/push.zarr --demonstrations 1400 --play 300

Each episode has a seed of its own, demonstrations first. The result depends on the seeds alone, not on the number of
workers.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from arx_x5_sim.collection.dataset import DatasetWriter
from arx_x5_sim.collection.episodes import Episode, Kind, record
from arx_x5_sim.collection.options import count, natural
from arx_x5_sim.collection.seeds import check_train_seeds
from arx_x5_sim.tasks.cartesian_env import CartesianEnv
from arx_x5_sim.tasks.push.scene import build_push_model
from arx_x5_sim.tasks.push.task import place
from arx_x5_sim.world.camera import Camera, RenderingUnavailableError
from arx_x5_sim.world.scene import RENDER_SIZE_MAX_PX
from arx_x5_sim.world.world import World

COLLECTION_ERRORS = (ValueError, FileExistsError, FileNotFoundError, RenderingUnavailableError)
"""What `collect` raises where the user can correct something."""

Record = Callable[[Sequence[int]], list[Episode]]
"""Records the episodes of some seeds; in another process, so that it can be pickled."""

logger = logging.getLogger(__name__)


@cache
def env_and_camera(image_size_px: int) -> tuple[CartesianEnv, Camera]:
    """Return what a process needs to record; made at its first episode, where a failure is reported."""
    model = build_push_model()
    return CartesianEnv(World(model), place), Camera(model, image_size_px, image_size_px)


def collect(
    out: Path, batches: Sequence[tuple[Record, Sequence[int]]], *, workers: int, command_line: str
) -> dict[str, float]:
    """Record episodes and write them to `out`, without those in which the expert failed.

    Args:
        out: the data set; must not exist.
        batches: what records, and for which seeds; all of them together are consecutive training seeds.
        workers: processes that record.
        command_line: is stored with the data.

    Returns:
        Counts, and the lengths in steps of the stored demonstrations and corrections.

    Raises:
        ValueError: no seeds, or seeds that are not for training.
        FileExistsError: `out` exists.
    """
    if not batches:
        raise ValueError("nothing to collect: no episodes are wanted")
    seeds = check_train_seeds(batches[0][1][0], sum(len(batch) for _, batch in batches))
    attributes = {"command_line": command_line, "seed_start": seeds.start, "seed_stop": seeds.stop}
    lengths: list[int] = []
    stored: Counter[Kind] = Counter()
    failed = frames = 0
    started = time.monotonic()
    with (
        DatasetWriter(out, attributes) as writer,
        _recorded(batches, workers) as recorded,
        tqdm(total=len(seeds), unit="seed", mininterval=1.0) as bar,
    ):
        for (_, batch), episodes in zip(batches, recorded, strict=True):
            bar.update(len(batch))
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


@contextmanager
def _recorded(batches: Sequence[tuple[Record, Sequence[int]]], workers: int) -> Iterator[Iterator[list[Episode]]]:
    """Yield the batches' episodes in the batches' order."""
    if workers == 1:
        yield map(_record_batch, batches)
        return
    # Spawned, not forked: an OpenGL context does not survive a fork.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield pool.imap(_record_batch, batches, chunksize=2)


def _record_batch(batch: tuple[Record, Sequence[int]]) -> list[Episode]:
    record_seeds, seeds = batch
    return record_seeds(seeds)


def _record(kind: Kind, image_size_px: int, seeds: Sequence[int]) -> list[Episode]:
    env, camera = env_and_camera(image_size_px)
    return [record(kind, seed, env, camera) for seed in seeds]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all kinds of episodes have in common."""
    parser.add_argument("--out", type=Path, required=True, help="Zarr store to write; must not exist")
    parser.add_argument("--workers", type=natural, default=2, help="processes (default %(default)s)")
    parser.add_argument(
        "--image-size", type=natural, default=128, help=f"pixels, up to {RENDER_SIZE_MAX_PX} (default %(default)s)"
    )


def run(out: Path, batches: Sequence[tuple[Record, Sequence[int]]], workers: int, command: Sequence[str]) -> int:
    """Collect as `collect` does, log the outcome in one line, and return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        summary = collect(out, batches, workers=workers, command_line=shlex.join(command))
    except COLLECTION_ERRORS as error:
        logger.error("%s", error)
        return 1
    logger.info("wrote %s: %s", out, ", ".join(f"{key} {value:g}" for key, value in summary.items()))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        prog="python -m arx_x5_sim.collection.collect",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.add_argument("--demonstrations", type=count, default=1400, help="attempted (default %(default)s)")
    parser.add_argument("--play", type=count, default=300, help="episodes of play (default %(default)s)")
    parser.add_argument("--seed-start", type=count, default=0, help="first seed (default %(default)s)")
    options = parser.parse_args(arguments)
    kinds = [Kind.DEMONSTRATION] * options.demonstrations + [Kind.PLAY] * options.play
    batches = [
        (partial(_record, kind, options.image_size), [seed]) for seed, kind in enumerate(kinds, options.seed_start)
    ]
    return run(options.out, batches, options.workers, ["python", "-m", "arx_x5_sim.collection.collect", *arguments])


if __name__ == "__main__":
    sys.exit(main())
