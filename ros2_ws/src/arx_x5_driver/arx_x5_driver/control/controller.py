# SPDX-License-Identifier: Apache-2.0
"""The driver's state machine: decides in each control period whether and how the arm is moved.

    unconfigured -> inactive -> stopped -> holding <-> active
                                   ^----------+----------+     by stop; to fault likewise, by dead feedback

`holding` and `active` send commands, the others do not, except that a moving arm is first braked to rest.
Only `enable` leads out of `stopped` and `fault`; nothing but a chunk or `home` makes the arm go anywhere.
"""

from __future__ import annotations

import math

import numpy as np

from arx_x5_driver.arm import ArmCommand, ArmState
from arx_x5_driver.chunk import Chunk
from arx_x5_driver.control.config import PAUSE_S, ControllerConfig
from arx_x5_driver.control.feedback import Feedback
from arx_x5_driver.control.state import ENABLED, RequestRefusedError, Snapshot, State
from arx_x5_driver.geometry.kinematics import Kinematics
from arx_x5_driver.motion.home_move import HomeMove
from arx_x5_driver.motion.motion import Motion
from arx_x5_driver.motion.schedule import Schedule
from arx_x5_driver.rules.chunk_gate import ChunkGate, ChunkRejectedError
from arx_x5_driver.rules.divergence_guard import DivergenceGuard
from arx_x5_driver.rules.rules import CHUNK_TIMEOUT, FEEDBACK_TIMEOUT, GUARD, NOT_ENABLED, STOP, RuleBook, Verdict
from uva_node_utils.latency import LatencyWindow

_DELAY_WINDOW = 50  # chunks
_DELAY_WARM_UP = 3  # the first ones wait for compilation and caches
_START_TOLERANCE_RAD = 0.05  # a joint measured this far beyond its limit is a calibration error, not noise
_STILL_RAD_S = 0.1  # more than what measured velocities of resting joints show


class Controller:
    """The state machine. It is not thread-safe: lock around its methods if threads share it."""

    def __init__(self, config: ControllerConfig, kinematics: Kinematics) -> None:
        self._config = config
        self._book = RuleBook(config.actions)
        self._motion = Motion(config.motion, kinematics, self._book)
        self._gate = ChunkGate(config.chunks, self._book)
        self._guard = DivergenceGuard(config.guard)
        self._delay = LatencyWindow(_DELAY_WINDOW, _DELAY_WARM_UP)
        self._state = State.UNCONFIGURED
        self._reason = ""
        self._home: HomeMove | None = None
        self._feedback = Feedback(config.feedback_timeout_s)
        self._tick_s = -math.inf
        self._latest_s = -math.inf
        self._chunk: tuple[int, float] | None = None
        self._accepted = 0
        self._rejected = 0
        self._last_rejection = ""

    @property
    def state(self) -> State:
        """The present state."""
        return self._state

    @property
    def schedule(self) -> Schedule:
        """The running chunk, and the counts of executed, dropped and superseded steps."""
        return self._motion.schedule

    def configure(self) -> None:
        """Enter `inactive`: the arm is connected."""
        self._enter(State.INACTIVE, "not activated yet")

    def activate(self) -> None:
        """Enter `stopped`: commands are sent only after `enable`."""
        self._motion.halt()  # a motion that was cut off must not continue now
        self._feedback.forget()
        self._enter(State.STOPPED, "not enabled yet, call enable")

    def deactivate(self) -> None:
        """Enter `inactive`: brake, then send no more commands."""
        self._enter(State.INACTIVE, "deactivated")

    def cleanup(self) -> None:
        """Enter `unconfigured`: the arm is about to be disconnected."""
        self._enter(State.UNCONFIGURED, "cleaned up")

    def enable(self, now_s: float) -> None:
        """Hold the arm where it is measured to be. Raises `RequestRefusedError` where that is not safe."""
        if self._state in ENABLED:
            return
        if self._state not in (State.STOPPED, State.FAULT):
            raise RequestRefusedError(f"the driver is {self._state.value}")
        if self._motion.moving:
            raise RequestRefusedError("the arm is still braking, try again in a moment")
        measured = self._feedback.fresh(self._advance(now_s))
        if measured is None:
            raise RequestRefusedError(f"the arm sends no fresh measurements{self._feedback.problem}")
        speeds = np.abs(measured.velocity)
        fastest = int(np.argmax(speeds))
        if not speeds[fastest] <= _STILL_RAD_S:
            raise RequestRefusedError(f"joint{fastest + 1} is measured to move at {speeds[fastest]:.2f} rad/s")
        limits = self._config.motion.limits
        beyond = np.maximum(limits.position_min - measured.position, measured.position - limits.position_max)
        joint = int(np.argmax(beyond))
        if not beyond[joint] <= _START_TOLERANCE_RAD:
            raise RequestRefusedError(
                f"joint{joint + 1} is measured at {measured.position[joint]:.3f} rad, outside its limits "
                f"{limits.position_min[joint]:g} .. {limits.position_max[joint]:g}"
            )
        self._motion.start(measured.position, measured.gripper_width)
        self._enter(State.HOLDING, "enabled, waiting for a chunk")

    def stop(self, reason: str) -> None:
        """Brake and stay stopped until `enable`."""
        if self._state in ENABLED or self._state is State.STOPPED:
            self._enter(State.STOPPED, reason)

    def fault(self, reason: str, rule: str | None = None, brakes: bool = True) -> None:
        """Brake and stay in `fault` until `enable`, because something outside the controller failed.

        Args:
            reason: what failed.
            rule: the rule that counts it, if any.
            brakes: False if no command reaches the arm: its process makes it stand still, and the motion is dropped.
        """
        if not brakes and self._motion.moving:
            self._motion.halt()
        if self._state in (*ENABLED, State.STOPPED):
            if rule is not None:
                self._book.count(rule)
            self._enter(State.FAULT, reason)

    def home(self) -> None:
        """Start a slow move to the home position. Raises `RequestRefusedError`."""
        if self._state is not State.HOLDING:
            raise RequestRefusedError(f"the driver is {self._state.value}, it must be holding to go home")
        self._home = HomeMove(self._motion.joints, self._config.home_position, self._config.home_speed_rad_s)
        self._reason = "moving to the home position"

    def offer(self, chunk: Chunk, now_s: float) -> None:
        """Execute a chunk that was received at `now_s`. Raises `ChunkRejectedError`, which is counted."""
        now_s = self._advance(now_s)
        try:
            clipped = self._check(chunk, now_s)
        except ChunkRejectedError as rejection:
            self.reject(rejection, f"chunk {chunk.sequence}")
            raise
        if self._gate.accepted(chunk, now_s):
            self._delay.clear()
        self._delay.add(now_s - chunk.stamp_s)
        if self._state is not State.ACTIVE:
            self._guard.begin(now_s)
        for rule in clipped:
            self._book.count(rule)
        self._motion.run(chunk, now_s, already_running=self._state is State.ACTIVE)
        self._accepted += 1
        self._chunk = chunk.sequence, now_s
        self._last_rejection = ""
        self._state, self._reason = State.ACTIVE, "executing chunks"

    def reject(self, rejection: ChunkRejectedError, chunk: str = "a chunk") -> None:
        """Count a rejected chunk, and stop an enabled arm if its rule says so."""
        self._rejected += 1
        self._book.count(rejection.rule)
        self._last_rejection = str(rejection)
        if self._state in ENABLED and self._book.action(rejection.rule) == STOP:
            self.stop(f"{chunk} broke a rule, {rejection}")

    def report_divergence(self, divergence: float, now_s: float) -> None:
        """Take in how far the world is from the running chunk's prediction; see `DivergenceGuard`."""
        self._guard.report(divergence, now_s)

    def tick(self, now_s: float, measured: ArmState | None) -> ArmCommand | None:
        """Run one control period and return the command to send now, None to send nothing.

        Args:
            now_s: the present time; a tick that is not later than the last one does nothing.
            measured: the newest measurement, None if there is none.
        """
        if now_s <= self._tick_s:
            return None
        elapsed_s = now_s - self._tick_s
        dt_s = min(elapsed_s, 2.0 * self._config.period_s)
        commanded_s, self._tick_s = self._tick_s, now_s
        now_s = self._advance(now_s)
        self._watch(measured, commanded_s)
        moving = self._motion.moving
        if moving and elapsed_s >= PAUSE_S:
            self._motion.halt()  # the arm's process has made the arm stand still meanwhile
        if self._state is State.ACTIVE:
            self._watch_chunk(now_s)
        if self._state is State.ACTIVE and self._guard.gives_up(now_s):
            self._enter(State.HOLDING, f"the world diverges from the prediction by {self._guard.divergence:.3g}")
        if self._state not in ENABLED and not moving:
            return None
        if self._state is State.ACTIVE:
            self._motion.follow_chunk(now_s, dt_s, self._guard.speed_share(now_s))
        elif self._home is not None:
            self._go_home(self._home, dt_s)
        else:
            self._motion.brake(dt_s)
        verdict = self._book.close_period()
        if verdict is not None:
            self._give_up(verdict)
        return self._motion.command

    def snapshot(self, now_s: float) -> Snapshot:
        """Return the report about this controller."""
        sequence, received_s = self._chunk or (0, math.nan)
        return Snapshot(
            state=self._state,
            reason=self._reason,
            chunk_sequence=sequence,
            chunk_age_s=now_s - received_s,
            chunks_accepted=self._accepted,
            chunks_rejected=self._rejected,
            last_rejection=self._last_rejection,
            steps_executed=self._motion.schedule.executed,
            steps_dropped=self._motion.schedule.dropped,
            steps_superseded=self._motion.schedule.superseded,
            chunk_delay_s=self._delay.p95,
            action_latency_s=self._motion.latency.seconds,
            divergence=self._guard.newest(now_s),
            rule_counts=self._book.as_dict(),
        )

    def _check(self, chunk: Chunk, now_s: float) -> list[str]:
        """Return the rules that clip this chunk. Raises `ChunkRejectedError` unless it can be executed now."""
        if self._state not in ENABLED:
            raise ChunkRejectedError(NOT_ENABLED, f"the driver is {self._state.value}")
        if self._home is not None:
            raise ChunkRejectedError(NOT_ENABLED, "the arm is moving to its home position")
        if self._guard.holds(now_s):
            raise ChunkRejectedError(GUARD, f"the world diverged by {self._guard.divergence:.3g}")
        clipped = self._gate.check(chunk, now_s, self._motion.lead_s, self._motion.pose)
        rule = self._motion.refused_for(chunk)
        if rule is not None:
            raise ChunkRejectedError(rule, "a step lies beyond it")
        return clipped

    def _give_up(self, verdict: Verdict) -> None:
        """End the running motion, because it broke a rule that does not clip."""
        motion = "the move home" if self._home is not None else f"chunk {self._chunk[0] if self._chunk else 0}"
        self._enter(State.STOPPED if verdict.action == STOP else State.HOLDING, f"{motion} broke rule '{verdict.rule}'")

    def _enter(self, state: State, reason: str) -> None:
        self._state, self._reason, self._home = state, reason, None
        self._motion.schedule.clear()

    def _advance(self, now_s: float) -> float:
        """Return the newest time seen: chunks and ticks come from threads that read the clock a little earlier."""
        self._latest_s = max(self._latest_s, now_s)
        return self._latest_s

    def _watch(self, measured: ArmState | None, commanded_s: float) -> None:
        """Learn from a new measurement how the arm follows its command. A long silence is a fault."""
        news = self._feedback.take(measured, self._latest_s)
        if self._state not in ENABLED:
            return
        if news is not None:
            since_s = news.stamp_s - self._config.state_latency_s - commanded_s
            if abs(since_s) <= 2.0 * self._config.period_s:
                self._motion.observe(news.position, since_s)
        elif self._feedback.fresh(self._latest_s) is None:
            reason = f"the arm sent no new measurement for {self._config.feedback_timeout_s:g} s"
            self.fault(f"{reason}{self._feedback.problem}", FEEDBACK_TIMEOUT)

    def _watch_chunk(self, now_s: float) -> None:
        """Hold when the running chunk is over, or when the policy is silent for too long."""
        sequence, received_s = self._chunk or (0, math.nan)
        schedule, timeout_s = self._motion.schedule, self._config.chunk_timeout_s
        if now_s >= schedule.end_s:
            schedule.at(schedule.end_s)
            state, reason = State.HOLDING, f"the last step of chunk {sequence} is over and no valid chunk followed"
        elif now_s - received_s > timeout_s:
            self._book.count(CHUNK_TIMEOUT)
            state = State.STOPPED if self._book.action(CHUNK_TIMEOUT) == STOP else State.HOLDING
            reason = f"no valid chunk followed chunk {sequence} within {timeout_s:g} s"
        else:
            return
        self._enter(state, f"{reason} (rejected: {self._last_rejection})" if self._last_rejection else reason)

    def _go_home(self, move: HomeMove, dt_s: float) -> None:
        self._motion.follow_joints(move.advance(dt_s), dt_s)
        if move.over and np.abs(self._motion.joints - self._config.home_position).max() < 1e-3:
            self._enter(State.HOLDING, "at the home position")
