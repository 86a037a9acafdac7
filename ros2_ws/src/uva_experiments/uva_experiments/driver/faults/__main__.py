# SPDX-License-Identifier: Apache-2.0
"""Run the fault injection: `python -m uva_experiments.driver.faults`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from uva_bringup.command import ExecutableNotFoundError
from uva_bringup.demo.domain import NoFreeDomainError, isolated_environment
from uva_bringup.run import say
from uva_experiments.driver.faults.bench import Bench
from uva_experiments.driver.faults.report import HEADER, as_dict, row
from uva_experiments.driver.faults.scenarios import SCENARIOS, Finding, examine
from uva_experiments.driver.faults.witness import FaultError, listening
from uva_experiments.report import write_results

EPILOG = """\
A driver with a loopback arm and a scripted policy run as processes of their own, in a ROS domain that stays on
this machine; for what the camera sees, the simulator and the real policy. Every command that is published is
compared with the limits. The exit code is 0 when all bounds and limits were kept and the driver recovered each time.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Break things as the command line says; return the exit code."""
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(
        prog="python -m uva_experiments.driver.faults",
        description="Break the stack on purpose and measure how the driver reacts.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)} (default: all)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for faults.json (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    unknown = sorted(set(parsed.names) - set(names))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    log = parsed.out / "faults" / "log"
    try:
        log.mkdir(parents=True, exist_ok=True)
        os.environ.update(isolated_environment(), ROS_LOG_DIR=str(log.absolute()))
        return _run(parsed.names or names, parsed.out, log / "output.txt")
    except (FaultError, ExecutableNotFoundError, NoFreeDomainError, OSError) as error:
        say(f"fault injection failed: {error}")
        return 1
    except KeyboardInterrupt:
        say("fault injection interrupted")
        return 130


def _run(names: Sequence[str], out: Path, log: Path) -> int:
    began_s = time.monotonic()
    findings: list[Finding] = []
    with listening() as witness, Bench(witness, log) as bench:
        bench.start_policy()
        bench.start_driver()
        print(HEADER, "|---|---|---|---|---|---|---|---|", sep="\n", flush=True)
        for scenario in SCENARIOS:
            if scenario.name in names:
                findings.append(examine(scenario, bench))
                print(row(findings[-1]), flush=True)
    setup = {
        "duration_s": round(time.monotonic() - began_s, 1),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }
    results = as_dict(findings)
    path = out / "faults.json"
    write_results(path, results, setup)
    kept = sum(finding.passed for finding in findings)
    print(
        f"\n{kept} of {len(findings)} passed in {setup['duration_s']:.0f} s, load {setup['load_average']}; see {path}"
    )
    return 0 if results["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
