# SPDX-License-Identifier: Apache-2.0
"""Compare the driver with a naive one: `python -m uva_experiments.driver.tracking`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from arx_x5_driver.control.controller import Controller
from arx_x5_driver.geometry.kinematics import SdkKinematics, SdkMissingError
from arx_x5_driver.parameters import DriverParameters
from arx_x5_sim.world.scene import build_model
from uva_experiments.driver.tracking.drivers import ChunkDriver, Follower, NaiveDriver
from uva_experiments.driver.tracking.plot import save_plot
from uva_experiments.driver.tracking.run import CHUNK_HZ, FIGURE, LATENCY_S, RUN_IN_S, Recording, Score, follow, score
from uva_experiments.report import write_results

PHYSICS_STEP_S = 0.001  # a fifth of the control period
NAIVE, OURS = "naive driver", "this driver"


HEADER = """\
| chunks off by | driver | position RMS | largest | RMS to the path | rotation RMS | largest jerk: joint | tool |
|---|---|---|---|---|---|---|---|"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m uva_experiments.driver.tracking", description=__doc__)
    parser.add_argument("--duration-s", type=float, default=60.0, help="simulated time judged (default: %(default)s)")
    parser.add_argument(
        "--noise-mm", type=float, nargs="+", default=(0.0, 2.0), help="errors of chunks, a run each (default: 0 2)"
    )
    parser.add_argument(
        "--action-latency-s", type=float, default=0.0, help="the driver's parameter (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    try:
        parsed.out.mkdir(parents=True, exist_ok=True)
        model, kinematics = build_model(), SdkKinematics(DriverParameters().arm_model)
    except (FileNotFoundError, SdkMissingError, OSError) as error:
        sys.exit(f"cannot track: {error}")
    model.opt.timestep = PHYSICS_STEP_S
    config = replace(DriverParameters(), action_latency_s=parsed.action_latency_s).controller_config()
    drivers: dict[str, Callable[[], Follower]] = {
        NAIVE: lambda: NaiveDriver(kinematics),
        OURS: lambda: ChunkDriver(Controller(config, kinematics)),
    }
    results: list[dict[str, Any]] = []
    recordings: dict[str, Recording] = {}
    print(HEADER, flush=True)
    for noise_mm in parsed.noise_mm:
        for name, make in drivers.items():
            recording = follow(model, make(), FIGURE, RUN_IN_S + parsed.duration_s, noise_mm * 1e-3)
            found = score(recording, FIGURE)
            recordings.setdefault(name, recording)
            results.append({"driver": name, "noise_mm": noise_mm, **asdict(found)})
            print(row(name, noise_mm, found), flush=True)
    setup = {"duration_s": parsed.duration_s, "chunk_hz": CHUNK_HZ, "latency_s": LATENCY_S, **asdict(FIGURE)}
    setup["action_latency_s"] = parsed.action_latency_s
    write_results(parsed.out / "tracking.json", {"runs": results}, setup)
    save_plot(recordings, parsed.out / "tracking.png")
    print(f"\nsee {parsed.out / 'tracking.json'} and {parsed.out / 'tracking.png'}")
    return 0


def row(name: str, noise_mm: float, found: Score) -> str:
    """Format a line of the table."""
    return (
        f"| {noise_mm:g} mm | {name} | {found.rms_mm:.1f} mm | {found.max_mm:.1f} mm | {found.path_rms_mm:.1f} mm "
        f"| {found.rms_deg:.2f}° | {found.joint_jerk_max:.0f} rad/s³ | {found.tool_jerk_max:.0f} m/s³ |"
    )


if __name__ == "__main__":
    sys.exit(main())
