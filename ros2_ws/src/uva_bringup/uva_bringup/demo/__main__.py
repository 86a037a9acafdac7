# SPDX-License-Identifier: Apache-2.0
"""Run the demo: `python -m uva_bringup.demo`."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from uva_bringup.command import ExecutableNotFoundError
from uva_bringup.demo.domain import NoFreeDomainError, isolated_environment
from uva_bringup.demo.errors import DemoError
from uva_bringup.demo.session import run_demo
from uva_bringup.options import GUARDS, LARGEST_SEED, OptionError, StackOptions
from uva_bringup.run import commands_of, say
from uva_bringup.stack import checkpoint_path, share_directory

DEFAULT_SEEDS = (20000, 20001, 20002, 20003, 20004)
DEFAULT_LIMIT_S = 20.0
LONGEST_LIMIT_S = 3600.0
OUTPUTS = ("camera.mp4", "prediction.png", "summary.json", "bag", "log")

EPILOG = """\
The simulator with the arm's driver and the policy run as separate processes, in a ROS domain of their own
that stays on this machine. Each episode sets a scene (/x5/stop, /sim/reset), waits until the policy has
seen it, enables the arm and watches /sim/world_state until a block is in a square or time is up.

written to the output folder:
  camera.mp4       what the camera saw
  prediction.png   what the model predicts at a moment in which a block moves, and what happened then
  bag/             rosbag2 (mcap) of all topics: ros2 bag play, Foxglove, rosbags
  summary.json     the numbers of the table
  log/             what the nodes said

Five episodes of 20 s take less than 3 minutes on an idle machine. A busy one has up to 120 s to start; a node
that does not answer, or a topic that falls silent, ends the demo earlier.

The exit code is 0 when the stack worked until the end, however many episodes were solved; otherwise it is 1, with
the reason in one line.

examples:
  python -m uva_bringup.demo
  python -m uva_bringup.demo --seeds 20010 20011 --limit-s 30
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m uva_bringup.demo",
        description="Let the policy push blocks in simulation, closed loop over real DDS, and report.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seeds", type=_seed, nargs="+", default=DEFAULT_SEEDS, help="scenes, one an episode (default: %(default)s)"
    )
    parser.add_argument(
        "--limit-s",
        type=_duration_s,
        default=DEFAULT_LIMIT_S,
        help="time for an episode in seconds (default: %(default)s)",
    )
    parser.add_argument("--model", default="", help="checkpoint file (default: the shipped one)")
    parser.add_argument(
        "--guard",
        choices=GUARDS,
        default="off",
        help="what the driver does where seen frames diverge from predicted ones; if anything, frames are predicted",
    )
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="output folder (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        mode = "policy" if parsed.guard == "off" else "policy_planner"
        options = StackOptions(
            robot="sim", model=parsed.model, seed=parsed.seeds[0], guard=parsed.guard, mask_mode=mode
        )
        prepare_output(parsed.out)  # after all that can be wrong with the options
        # For this process and the stack's.
        os.environ.update(isolated_environment(), ROS_LOG_DIR=str((parsed.out / "log").absolute()))
        with TemporaryDirectory(prefix="uva_demo_") as folder:
            checkpoint = checkpoint_path(options, share_directory())
            run_demo(commands_of(options, Path(folder)), parsed.seeds, parsed.limit_s, checkpoint, parsed.out)
    except (DemoError, ExecutableNotFoundError, NoFreeDomainError, OptionError, OSError) as error:
        say(f"demo failed: {error}")
        return 1
    except KeyboardInterrupt:
        say("demo interrupted")
        return 130
    return 0


def _seed(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) <= LARGEST_SEED:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 to {LARGEST_SEED}")


def _duration_s(text: str) -> float:
    with suppress(ValueError):
        if 0.0 < float(text) <= LONGEST_LIMIT_S:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text} is not a number above 0, up to {LONGEST_LIMIT_S:.0f}")


def prepare_output(folder: Path) -> None:
    """Make the output folder and remove what an earlier demo left there."""
    (folder / "log").mkdir(parents=True, exist_ok=True)
    for name in OUTPUTS:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (folder / "log").mkdir()


if __name__ == "__main__":
    sys.exit(main())
