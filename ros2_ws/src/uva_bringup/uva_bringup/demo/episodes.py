# SPDX-License-Identifier: Apache-2.0
"""Run pushing episodes closed loop, one after the other."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from uva_bringup.demo.errors import DemoError
from uva_bringup.demo.monitor import Monitor
from uva_node_utils import topics
from uva_replay.episode import Episode

# Torch alone takes seconds to load, on a busy machine a minute.
STARTUP_TIMEOUT_S = 120.0
RESET_TIMEOUT_S = 5.0
# The policy's history reaches 1.6 s back: after this time it holds nothing of the previous scene.
SETTLE_S = 2.0


def run_episodes(monitor: Monitor, seeds: Sequence[int], limit_s: float) -> list[Episode]:
    """Run one episode for each seed, with a progress bar on a terminal and a line for each result.

    Raises:
        DemoError: The stack was not healthy.
    """
    monitor.wait_for_flow(STARTUP_TIMEOUT_S)
    episodes = []
    for number, seed in enumerate(seeds, start=1):
        name = f"episode {number}/{len(seeds)}, seed {seed}"
        with tqdm(
            total=limit_s,
            desc=name,
            bar_format="{desc} |{bar:30}| {n:.1f}/{total:.0f} s{postfix}",
            leave=False,
            disable=not sys.stderr.isatty(),
        ) as bar:
            episode = run_episode(monitor, number, seed, limit_s, bar)
        episodes.append(episode)
        result = f"solved in {episode.duration_s:.1f} s" if episode.solved else f"not solved in {limit_s:.0f} s"
        print(f"{name}: {result}", flush=True)
    return episodes


def run_episode(monitor: Monitor, number: int, seed: int, limit_s: float, bar: tqdm) -> Episode:
    """Stop the arm, set the scene, enable the arm, and watch until the task is solved or time is up."""
    monitor.stop()
    monitor.reset(seed)
    if not monitor.wait_until(lambda: monitor.world.seed == seed, RESET_TIMEOUT_S):
        raise DemoError(f"{topics.WORLD_STATE} does not show seed {seed} {RESET_TIMEOUT_S:.0f} s after the reset")
    monitor.pause(SETTLE_S)
    monitor.enable()
    start_s = time.time()
    while not monitor.world.solved and time.time() - start_s < limit_s:
        monitor.check_flow()
        bar.n = min(limit_s, time.time() - start_s)
        bar.set_postfix_str(f", nearest block {nearest_distance_m(monitor.world) * 100:.1f} cm from a square")
        time.sleep(0.1)
    solved = monitor.world.solved
    end_s = time.time()
    monitor.stop()
    return Episode(number, seed, start_s, end_s, solved)


def nearest_distance_m(world: Any) -> float:
    """Return the smallest horizontal distance between a block and a square of a WorldState."""
    return min(
        math.hypot(block.position.x - square.position.x, block.position.y - square.position.y)
        for block in world.blocks
        for square in world.squares
    )
