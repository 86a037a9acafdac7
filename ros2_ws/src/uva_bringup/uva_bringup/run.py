# SPDX-License-Identifier: Apache-2.0
"""Start the stack as processes: `python -m uva_bringup.run mask_mode:=policy robot:=sim ...`.

Where ROS 2 is installed, `ros2 launch uva_bringup uva.launch.py` starts the very same description.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from uva_bringup.command import ExecutableNotFoundError, command_line
from uva_bringup.options import OptionError, StackOptions, describe_options
from uva_bringup.stack import stack
from uva_bringup.supervisor import POLL_S, SIGINT_GRACE_S, SIGTERM_GRACE_S, Command, Supervisor

EPILOG = f"""\
options of the stack (name:=default):
{describe_options()}

Every line of output has the node's name in front. Ctrl-C ends all nodes: they get SIGINT,
after {SIGINT_GRACE_S:.0f} s SIGTERM, after {SIGTERM_GRACE_S:.0f} s more SIGKILL; a second Ctrl-C does not wait.
When one node dies, all end, and the exit code is 1; after the policy's end the driver runs on
until /x5/status shows its hold.

examples:
  python -m uva_bringup.run robot:=sim
  python -m uva_bringup.run robot:=x5 can_interface:=can1 model:=mine.safetensors camera_topic:=/camera/color/image_raw
  python -m uva_bringup.run robot:=sim mask_mode:=video rviz:=true
"""
COLOURS = (36, 33, 35, 32, 34, 31)  # ANSI foregrounds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stack until it is interrupted or one of its processes dies; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m uva_bringup.run",
        description="Start the UVA stack: simulator or arm driver, and the policy.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("options", nargs="*", metavar="name:=value", help="options of the stack, see below")
    parser.add_argument("-s", "--show-args", action="store_true", help="only list the stack's options")
    parsed = parser.parse_args(arguments)
    if parsed.show_args:
        print(describe_options())
        return 0
    try:
        with TemporaryDirectory(prefix="uva_bringup_") as folder:
            code = run(commands_of(StackOptions.parse(parsed.options), Path(folder)))
    except (OptionError, ExecutableNotFoundError) as error:
        say(str(error))
        return 2
    _drop_closed_output()
    return code


def commands_of(options: StackOptions, folder: Path) -> list[Command]:
    """Return the stack's processes; their parameter files are written to the folder."""
    return [Command(spec.label, command_line(spec, folder), spec.linger_s) for spec in stack(options)]


def run(commands: Sequence[Command]) -> int:
    """Run the processes until a signal comes or one dies.

    Returns:
        0 after a signal when all ended by themselves, otherwise 1.
    """
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: received.append(number))
    colourful = sys.stdout.isatty()
    prefixes = _prefixes([command.label for command in commands], colourful)
    environment = {"RCUTILS_COLORIZED_OUTPUT": "1"} if colourful else None

    def on_line(label: str, line: str) -> None:
        print(f"{prefixes[label]} {line}", flush=True)

    announced = 0
    with Supervisor(commands, on_line, environment) as supervisor:
        while not received and supervisor.due_death() is None:
            for death in supervisor.deaths()[announced:]:
                announced += 1
                wait_s = death.stop_at_s - time.monotonic()
                say(f"{death}; the others end in {wait_s:.1f} s")
            time.sleep(POLL_S)
        deaths = supervisor.deaths()
        if received:
            say(f"{signal.Signals(received[0]).name} received, ending all nodes")
        killed = supervisor.stop(hurry=lambda: len(received) > 1)
    for label in killed:
        say(f"{label} did not end when asked and was killed")
    if deaths:
        say(f"the stack has ended because {deaths[0]}")
    return 1 if deaths or killed else 0


def say(message: str) -> None:
    """Print a line of this program itself, not of a node."""
    with suppress(OSError):  # closed output must not end the stack
        print(f"[uva_bringup] {message}", file=sys.stderr, flush=True)


def _drop_closed_output() -> None:
    """Prevent an error message of the interpreter at exit where the reader of the output has gone."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _prefixes(labels: Sequence[str], colourful: bool) -> dict[str, str]:
    width = max((len(label) for label in labels), default=0) + 2
    prefixes = {label: f"[{label}]".ljust(width) for label in labels}
    if not colourful:
        return prefixes
    coloured = zip(prefixes.items(), COLOURS * len(labels), strict=False)
    return {label: f"\033[{colour}m{prefix}\033[0m" for (label, prefix), colour in coloured}


if __name__ == "__main__":
    sys.exit(main())
