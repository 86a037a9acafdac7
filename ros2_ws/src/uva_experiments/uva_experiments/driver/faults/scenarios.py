# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, and how soon the driver must have noticed and the arm be at rest.

All in one file of over 300 lines, because the list at its end is read together with what each scenario does.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from arx_x5_driver.control.state import State
from arx_x5_driver.motion.motion import LONGEST_STOP_S
from arx_x5_driver.parameters import DriverParameters
from uva_bringup.options import StackOptions
from uva_bringup.run import commands_of
from uva_experiments.driver.faults.bench import Bench
from uva_experiments.driver.faults.commands import Use, rest_after
from uva_experiments.driver.faults.witness import FaultError, stamp_s
from uva_experiments.driver.figure_eight import STEP_S, STEPS
from uva_node_utils import topics

# A fault is noticed within a few control periods; delays of ROS and of a busy machine are added.
NOTICE_S = 0.05
STOP_S = LONGEST_STOP_S  # from full speed to rest
FEEDBACK_S = DriverParameters().feedback_timeout_s
SURPRISE_S = 0.7  # until a predicted frame is due, and the inference that compares it with the camera's has ended
REQUEST_S = 0.2  # until a signal or a service call has an effect
CHUNK_S = STEPS * STEP_S  # how far the scripted policy's chunks reach
JUMP_RAD = 0.01
PERIOD_S = 1.0 / DriverParameters().rate_hz
_NAN = float("nan")
_DEACTIVATE, _ACTIVATE = 4, 3  # lifecycle_msgs/Transition
_SIMULATED = StackOptions(robot="sim", seed=20000)


@dataclass(frozen=True)
class Reaction:
    """How the driver reacted to a fault.

    Attributes:
        noticed_s: from the fault until the driver's status says so; NaN where the status does not change.
        rest_s: from the fault until no moving command followed; NaN where the arm has to go on.
        state: of the driver then.
        recovered: whether chunks are executed again.
    """

    noticed_s: float
    rest_s: float
    state: str
    recovered: bool = False


@dataclass(frozen=True)
class Scenario:
    """A fault: what happens, from when its times count, their bounds, the recovery, and the function that runs it.

    `shortest_s` is the shortest time between commands, where their stamps do not show it; see `use_of`.
    """

    name: str
    fault: str
    since: str
    noticed_bound_s: float
    rest_bound_s: float
    recovery: str
    run: Callable[[Bench], Reaction]
    shortest_s: float = 0.0


@dataclass(frozen=True)
class Finding:
    """A scenario and what was measured in it; `error` says what did not happen at all."""

    scenario: Scenario
    reaction: Reaction | None
    use: Use
    error: str = ""

    @property
    def passed(self) -> bool:
        """Tell whether bounds and limits were kept and the driver recovered."""
        reaction, scenario = self.reaction, self.scenario
        if reaction is None or not self.use.kept or not self.use.count:
            return False
        late = reaction.noticed_s > scenario.noticed_bound_s or reaction.rest_s > scenario.rest_bound_s
        return not late and reaction.recovered


def examine(scenario: Scenario, bench: Bench) -> Finding:
    """Run a scenario, and compare every command that was published in it with the limits."""
    since_s = bench.witness.now_s
    try:
        reaction, error = scenario.run(bench), ""
    except FaultError as failure:
        reaction, error = None, str(failure)
    return Finding(scenario, reaction, bench.use(since_s, scenario.shortest_s), error)


def _silenced(bench: Bench, silence: Callable[[], None], resume: Callable[[], None]) -> Reaction:
    """Let no valid chunk come any more: times count from the end of the last one."""
    bench.settle()
    silence()
    status = bench.witness.wait_for_lasting(State.HOLDING.value, STOP_S + REQUEST_S)
    end_s = bench.witness.chunk_end_s(status.chunk_sequence)
    rest_s = rest_after(bench.witness.commands, end_s) - end_s
    noticed_s = max(0.0, stamp_s(status) - end_s)
    state = bench.witness.status.state
    resume()
    bench.witness.wait_for(State.ACTIVE.value, bench.witness.now_s)
    return Reaction(noticed_s, rest_s, state, recovered=True)


def _kill_policy(bench: Bench) -> Reaction:
    def restart() -> None:
        bench.end("policy")
        bench.start_policy()

    return _silenced(bench, lambda: bench.signal("policy", signal.SIGKILL), restart)


def _freeze_policy(bench: Bench) -> Reaction:
    def send(number: int) -> None:
        bench.signal("policy", number)

    return _silenced(bench, lambda: send(signal.SIGSTOP), lambda: send(signal.SIGCONT))


def _spoil(order: str) -> Callable[[Bench], Reaction]:
    def run(bench: Bench) -> Reaction:
        return _silenced(bench, lambda: bench.witness.order(order), lambda: bench.witness.order("normal"))

    return run


def _flood(bench: Bench) -> Reaction:
    bench.settle()
    bench.witness.order("flood")
    time.sleep(2.0)
    called_s = bench.witness.now_s
    bench.witness.call(topics.STOP)
    status = bench.witness.wait_for(State.STOPPED.value, called_s)
    time.sleep(STOP_S)
    rest_s = rest_after(bench.witness.commands, called_s) - called_s
    bench.witness.order("normal")
    time.sleep(0.5)
    bench.witness.call(topics.ENABLE)
    bench.settle(0.0)
    return Reaction(stamp_s(status) - called_s, rest_s, status.state, recovered=True)


def _jump_clock(bench: Bench) -> Reaction:
    """Expect the arm to go on; only chunks that come before every node knows the new time may be rejected."""
    bench.end("driver")
    bench.start("clock", [sys.executable, "-m", "uva_experiments.driver.faults.clock"])
    bench.start_driver(use_sim_time="true")
    try:
        bench.settle()
        first = len(bench.witness.statuses)
        for order in ("shift 5", "normal"):
            bench.witness.order(order, listeners=2)
            time.sleep(2.0 * CHUNK_S)
        statuses = bench.witness.statuses[first:]
    finally:
        bench.witness.order("normal")
        bench.end("driver")
        bench.end("clock")
        bench.start_driver()
    others = {f"{status.state}: {status.reason}" for status in statuses if status.state != State.ACTIVE.value}
    if others:
        raise FaultError(f"the arm did not go on: {', '.join(others)}")
    return Reaction(_NAN, _NAN, State.ACTIVE.value, recovered=statuses[-1].chunk_age < CHUNK_S / 2.0)


def _busy(bench: Bench) -> Reaction:
    bench.settle()
    with bench.busy_processors():
        time.sleep(3.0)
        return _kill_policy(bench)


def _arm_fault(kind: str) -> Callable[[Bench], Reaction]:
    """Let a fault begin three seconds after the first command and last for one second."""

    def run(bench: Bench) -> Reaction:
        bench.end("driver")
        bench.start_driver(loopback_fault=kind, loopback_fault_after_s=3.0, loopback_fault_duration_s=1.0)
        status = bench.witness.wait_for(State.FAULT.value, bench.settle(0.0))
        faulted_s = stamp_s(status)
        last_s = max(measured_s for measured_s in bench.witness.measured_s if measured_s < faulted_s)
        time.sleep(1.5)
        rest_s = rest_after(bench.witness.commands, last_s) - last_s
        bench.witness.call(topics.ENABLE)
        bench.settle(0.0)
        return Reaction(faulted_s - last_s, rest_s, status.state, recovered=True)

    return run


def _restart_driver(number: int) -> Callable[[Bench], Reaction]:
    """Start a new driver whose loopback arm stands where the old one stopped, as a real arm would."""

    def run(bench: Bench) -> Reaction:
        witness = bench.witness
        told_s = bench.settle()
        bench.signal("driver", number)
        bench.end("driver")
        rest_s = rest_after(witness.commands, told_s) - told_s
        joints = witness.joints[:6].tolist()
        bench.start_driver(enabled=False, joints=joints)
        count = len(witness.commands)
        time.sleep(0.5)
        if len(witness.commands) > count:
            raise FaultError("the new driver sent commands before it was enabled")
        witness.call(topics.ENABLE)
        bench.settle(0.0)
        jump_rad = float(np.abs(witness.commands[count].position[:6] - joints).max())
        return Reaction(float("nan"), rest_s, "gone", recovered=jump_rad < JUMP_RAD)

    return run


@contextmanager
def _simulation(bench: Bench, options: StackOptions = _SIMULATED) -> Iterator[None]:
    """Run the simulator and the real policy instead of what ran so far, once the arm moves."""
    bench.end_all()
    with TemporaryDirectory(prefix="uva_faults_") as folder:
        bench.start_all("sim", commands_of(options, Path(folder)))
        try:
            bench.witness.wait_for(State.ACTIVE.value, bench.witness.now_s, 150.0)
            yield
        finally:
            bench.end("sim")


def _lose_camera(bench: Bench) -> Reaction:
    with _simulation(bench):
        return _silenced(
            bench,
            lambda: bench.witness.change_state("sim_camera", _DEACTIVATE),
            lambda: bench.witness.change_state("sim_camera", _ACTIVATE),
        )


def _take_block(bench: Bench) -> Reaction:
    """Take the block away, while the model expects to see it where it lay."""
    with _simulation(bench, replace(_SIMULATED, mask_mode="policy_planner", guard="hold")):
        bench.settle()
        taken_s = bench.witness.take_away("block_blue")
        status = bench.witness.wait_for_lasting(State.HOLDING.value, STOP_S + REQUEST_S)
        if "diverges" not in status.reason:
            raise FaultError(f"the driver holds for another reason: {status.reason}")
        rest_s = rest_after(bench.witness.commands, taken_s) - taken_s
        bench.settle(0.0)
        return Reaction(stamp_s(status) - taken_s, rest_s, status.state, recovered=True)


_LAST_STEP = "end of the last valid step"
_LAST_MEASUREMENT = "last measurement"
_HOLD = (NOTICE_S, STOP_S)
SCENARIOS = (
    Scenario("policy_killed", "policy killed (SIGKILL)", _LAST_STEP, *_HOLD, "new policy", _kill_policy),
    Scenario("policy_frozen", "policy frozen (SIGSTOP)", _LAST_STEP, *_HOLD, "by itself", _freeze_policy),
    Scenario("nan_chunks", "chunks with a NaN", _LAST_STEP, *_HOLD, "by itself", _spoil("nan")),
    Scenario("clock_ahead", "stamps 5 s ahead", _LAST_STEP, *_HOLD, "by itself", _spoil("shift 5")),
    Scenario("clock_behind", "stamps 5 s behind", _LAST_STEP, *_HOLD, "by itself", _spoil("shift -5")),
    Scenario("clock_jumps", "clock jumps 5 s ahead, then back", "", _NAN, _NAN, "not needed", _jump_clock, PERIOD_S),
    Scenario(
        "flood", "1000 chunks a second, then `x5/stop`", "call", REQUEST_S, REQUEST_S + STOP_S, "`x5/enable`", _flood
    ),
    Scenario("busy_processors", "all processors busy, then policy killed", _LAST_STEP, *_HOLD, "new policy", _busy),
    Scenario(
        "driver_restarted",
        "driver ended in motion (SIGINT)",
        "signal",
        _NAN,
        REQUEST_S + STOP_S,
        "new driver, `x5/enable`",
        _restart_driver(signal.SIGINT),
    ),
    Scenario(
        "driver_killed",
        "driver killed in motion (SIGKILL)",
        "signal",
        _NAN,
        NOTICE_S,
        "new driver, `x5/enable`",
        _restart_driver(signal.SIGKILL),
    ),
    Scenario(
        "feedback_frozen",
        "measurements stand still",
        _LAST_MEASUREMENT,
        FEEDBACK_S + NOTICE_S,
        FEEDBACK_S + NOTICE_S + STOP_S,
        "`x5/enable`",
        _arm_fault("freeze"),
    ),
    Scenario(
        "library_hangs", "a call of the arm's library hangs", _LAST_MEASUREMENT, 0.1, 0.1, "`x5/enable`",
        _arm_fault("hang"),
    ),
    Scenario("camera_gone", "camera gone (simulator, real policy)", _LAST_STEP, *_HOLD, "by itself", _lose_camera),
    Scenario(
        "block_taken", "a block is taken away (the same, `guard:=hold`)", "the block is gone",
        SURPRISE_S, SURPRISE_S + STOP_S, "by itself", _take_block,
    ),
)  # fmt: skip
