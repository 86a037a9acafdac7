# SPDX-License-Identifier: Apache-2.0
"""Run a controller on an arm. Threads meet here and nowhere else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from arx_x5_driver.arm import Arm, ArmCommand, ArmError, ArmState
from arx_x5_driver.chunk import Chunk
from arx_x5_driver.control.controller import Controller
from arx_x5_driver.control.rate import RateLoop, RateStatistics
from arx_x5_driver.control.state import RequestRefusedError, Snapshot, State
from arx_x5_driver.geometry.kinematics import Kinematics
from arx_x5_driver.geometry.se3 import Pose
from arx_x5_driver.rules.chunk_gate import ChunkRejectedError
from arx_x5_driver.rules.rules import ARM_ERROR

_REST_TIMEOUT_S = 0.5  # limits let every joint stop within 0.3 s
_STUCK_S = 0.5  # far beyond what a busy machine does to the loop: the arm's library hangs

Observer = Callable[[float, ArmState, Pose, "ArmCommand | None"], None]


class Runtime:
    """The control loop's thread. All other threads reach the controller through this object."""

    def __init__(
        self,
        arm: Arm,
        controller: Controller,
        kinematics: Kinematics,
        period_s: float,
        observe: Observer,
        on_news: Callable[[], None] = lambda: None,
        priority: int = 0,
        news_periods: int = 10,
    ) -> None:
        """Prepare a loop over a connected arm.

        Args:
            arm: used by the loop's thread only.
            controller: a new one; from now on used under this object's lock only.
            kinematics: used under the lock as well.
            period_s: of the loop.
            observe: is called in every period, in the loop's thread, with the period's time, and what was measured
                and sent in it.
            on_news: is called in the loop's thread when the controller's state has changed, and every few periods. It
                is called at the end of a period's work, so that a thread that it wakes runs while the loop sleeps.
            priority: see `RateLoop`.
            news_periods: the number of those periods.
        """
        self._arm = arm
        self._controller = controller
        controller.configure()
        self._kinematics = kinematics
        self._observe = observe
        self._on_news = on_news
        self._news_periods = news_periods
        self._seen = controller.state
        self._lock = threading.Lock()
        self._loop = RateLoop(period_s, self._work, self._fail, priority)
        self._left_behind = False
        self._unreadable = ""
        self._failed = False  # the arm, since it was enabled
        self._periods = 0  # begun, as far as the controller is concerned
        self._sent = 0, False  # the newest period that is over, and whether the last command that was sent moves
        self.error: Exception | None = None
        """What ended the loop; anything here is a bug."""

    def start(self) -> None:
        """Activate the controller on a first measurement and start the loop. Raises `ArmError`."""
        if self._loop.alive:
            raise ArmError("a call of the arm's library still hangs: restart the driver, check the arm's power and bus")
        self._left_behind = False
        measured = self._arm.read()
        self._unreadable = ""
        self._failed = False
        self._sent = self._periods, False
        with self._lock:
            self._controller.activate()
            self._controller.tick(time.monotonic(), measured)
        self._loop.start()

    def stop(self) -> None:
        """Bring the arm to rest and end the loop; a call of the arm that hangs is left behind."""
        with self._lock:
            self._controller.deactivate()
            since = self._periods
        self._comes_to_rest(since)
        if not self._loop.stop():
            self._left_behind = True

    def close(self) -> None:
        """Prepare for the arm to be disconnected; call it after `stop`."""
        with self._lock:
            self._controller.cleanup()

    def enable(self) -> None:
        """See `Controller.enable`; also refused while the arm cannot be read, or the loop does not run."""
        if self._unreadable:
            raise RequestRefusedError(self._unreadable)
        dead = not self._loop.alive or self._loop.silence_s() > _STUCK_S
        with self._lock:
            if dead and self._controller.state in (State.STOPPED, State.FAULT):
                raise RequestRefusedError("the control loop does not run")
            self._controller.enable(time.monotonic())
            self._failed = False

    def home(self) -> None:
        """See `Controller.home`."""
        with self._lock:
            self._controller.home()

    def halt(self, reason: str) -> str:
        """Stop the arm and return once the last command is sent: from then on another sender may move the arm.

        Returns:
            The driver's state and its reason, as a sentence.

        Raises:
            RequestRefusedError: The arm was not brought to rest, or the driver sends nothing anyway.
        """
        with self._lock:
            self._controller.stop(reason)
            since, state = self._periods, self._controller.state
        if state not in (State.STOPPED, State.FAULT):
            raise RequestRefusedError(f"the driver is {state.value}, it sends nothing")
        rests = self._comes_to_rest(since)
        with self._lock:
            now = self._controller.snapshot(time.monotonic())
        why = f"{now.state.value}: {now.reason}"
        if self._failed:
            raise RequestRefusedError(f"no command reaches the arm, which should stand still by itself; {why}")
        if not rests:
            raise RequestRefusedError(f"the arm was not brought to rest within {_REST_TIMEOUT_S:g} s; {why}")
        return f"at rest until enable is called; {why}"

    def offer(self, chunk: Chunk, now_s: float) -> None:
        """See `Controller.offer`."""
        with self._lock:
            self._controller.offer(chunk, now_s)

    def reject(self, rejection: ChunkRejectedError) -> None:
        """See `Controller.reject`."""
        with self._lock:
            self._controller.reject(rejection)

    def report_divergence(self, value: float, now_s: float) -> None:
        """See `Controller.report_divergence`."""
        with self._lock:
            self._controller.report_divergence(value, now_s)

    def watch(self) -> tuple[Snapshot, RateStatistics]:
        """Return what there is to report. Call it regularly: it also notices a loop that hangs."""
        silence_s = self._loop.silence_s()
        with self._lock:
            if silence_s > _STUCK_S:
                reason = f"the control loop has been stuck for {silence_s:.1f} s in the arm's library"
                self._controller.fault(reason, ARM_ERROR)
            snapshot = self._controller.snapshot(time.monotonic())
        return snapshot, self._loop.statistics()

    def _work(self, now_s: float) -> None:
        measured: ArmState | None = None
        pose: Pose | None = None
        try:
            measured = self._arm.read()
            self._unreadable = ""
        except ArmError as error:
            self._unreadable = self._arm_failed(error)
        if self._left_behind:
            return  # by now the arm may be elsewhere, or driven by another loop
        with self._lock:
            self._periods += 1
            period, moves = self._periods, self._sent[1]
            command = self._controller.tick(now_s, measured)
            if measured is not None:
                pose = self._kinematics.forward(measured.position)
        if command is not None:
            try:
                self._arm.command(command)
                moves = command.moves
            except ArmError as error:
                self._arm_failed(error)
                command = None
        self._sent = period, moves and not self._failed
        if measured is not None and pose is not None:
            self._observe(now_s, measured, pose, command)
        state = self._controller.state
        if state is not self._seen or period % self._news_periods == 0:
            self._seen = state
            self._on_news()

    def _arm_failed(self, error: ArmError) -> str:
        """Enter `fault`, as no command reaches the arm now, and return the reason."""
        reason = f"the arm failed: {error}"
        self._failed = True
        with self._lock:
            self._controller.fault(reason, ARM_ERROR, brakes=False)
        return reason

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._controller.fault(f"the control loop failed: {error}")
        self.error = error

    def _comes_to_rest(self, since: int) -> bool:
        """Wait until a period after `since` ended with the arm at rest; return False if that takes too long."""
        deadline_s = time.monotonic() + _REST_TIMEOUT_S
        while self._loop.alive and time.monotonic() < deadline_s:
            period, moves = self._sent
            if period > since and not moves:
                return True
            time.sleep(0.002)
        return False
