# SPDX-License-Identifier: Apache-2.0
"""How well the driver keeps its 200 Hz while all processors are busy.

`python -m uva_experiments.driver.faults.jitter` measures it; docs/faults.md has the result.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from uva_bringup.command import ExecutableNotFoundError
from uva_bringup.demo.domain import NoFreeDomainError, isolated_environment
from uva_bringup.run import say
from uva_experiments.driver.faults.bench import START_RAD, Bench
from uva_experiments.driver.faults.witness import FaultError, listening
from uva_experiments.report import write_results

_LONG_TIMEOUTS: dict[str, object] = {"arm_timeout_s": 1.0, "feedback_timeout_s": 1.0}
_WINDOW_S = 10.0  # statistics in x5/status are over this much of the past
PRIORITIES = (20, 0)


@dataclass(frozen=True)
class Jitter:
    """How regular the loop was: mean and worst of its status about each ten seconds.

    Attributes:
        realtime_priority: what the driver asked for; 0 is what a user without permission has.
        duration_s: how long it was measured.
        period_error_ms_p99: 99th percentile of |period - 5 ms|.
        period_error_ms_p99_worst: in the worst ten seconds.
        work_ms_p99: 99th percentile of the time that the loop's own work took, with what it waited for a processor.
        work_ms_p99_worst: in the worst ten seconds.
        missed: periods that were left out.
        load_average: of the machine over the minute before the end.
        stolen_ms: time that a virtual machine's host took from its processors, as far as it says so.
    """

    realtime_priority: int
    duration_s: float
    period_error_ms_p99: float
    period_error_ms_p99_worst: float
    work_ms_p99: float
    work_ms_p99_worst: float
    missed: int
    load_average: float
    stolen_ms: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m uva_experiments.driver.faults.jitter", description=__doc__)
    parser.add_argument("--duration-s", type=float, default=60.0, help="for each priority (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for jitter.json (default: %(default)s)")
    parsed = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    log = parsed.out / "faults" / "log"
    try:
        log.mkdir(parents=True, exist_ok=True)
        os.environ.update(isolated_environment(), ROS_LOG_DIR=str(log.absolute()))
        results = _measure(parsed.duration_s, log / "output.txt")
    except (FaultError, ExecutableNotFoundError, NoFreeDomainError, OSError) as error:
        say(f"jitter was not measured: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    path = parsed.out / "jitter.json"
    write_results(path, {"runs": [asdict(result) for result in results]}, {"duration_s": parsed.duration_s})
    say(f"see {path}")
    return 0


def _measure(duration_s: float, log: Path) -> list[Jitter]:
    results = []
    print(
        "| priority | period error p99 (worst 10 s) | work p99 (worst 10 s) | periods missed | load average | stolen |"
    )
    print("|---|---|---|---|---|---|", flush=True)
    with listening() as witness, Bench(witness, log) as bench:
        bench.start_policy()
        for priority in PRIORITIES:
            # Without a priority the arm's process is late, too, which would be a fault: it is given more time.
            timeouts = {} if priority else _LONG_TIMEOUTS
            bench.start_driver(True, START_RAD, realtime_priority=priority, **timeouts)
            with bench.busy_processors():
                bench.settle(_WINDOW_S)
                first, stolen_ms = len(witness.statuses), _stolen_ms()
                time.sleep(duration_s)
                statuses, stolen_ms = witness.statuses[first:], _stolen_ms() - stolen_ms
            windows = statuses[:: -round(_WINDOW_S * len(statuses) / duration_s)][: round(duration_s / _WINDOW_S)]
            errors_ms = [status.loop_period_error_p99 * 1e3 for status in windows]
            works_ms = [status.loop_work_p99 * 1e3 for status in windows]
            bench.end("driver")
            result = Jitter(
                realtime_priority=priority,
                duration_s=duration_s,
                period_error_ms_p99=fmean(errors_ms),
                period_error_ms_p99_worst=max(errors_ms),
                work_ms_p99=fmean(works_ms),
                work_ms_p99_worst=max(works_ms),
                missed=statuses[-1].loop_periods_missed - statuses[0].loop_periods_missed,
                load_average=os.getloadavg()[0],
                stolen_ms=stolen_ms,
            )
            print(
                f"| {priority or 'none'} "
                f"| {result.period_error_ms_p99:.2f} ms ({result.period_error_ms_p99_worst:.2f}) "
                f"| {result.work_ms_p99:.2f} ms ({result.work_ms_p99_worst:.2f}) "
                f"| {result.missed} of {duration_s * 200:.0f} | {result.load_average:.1f} "
                f"| {result.stolen_ms:.0f} ms |",
                flush=True,
            )
            results.append(result)
    return results


def _stolen_ms() -> float:
    """Return the stolen time since the machine was started, over all of its processors."""
    ticks = Path("/proc/stat").read_text().split()[8]
    return 1e3 * int(ticks) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
