# SPDX-License-Identifier: Apache-2.0
"""Whether the node does its work, why not, and how fast: what diagnostics and complaints say."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.impl.rcutils_logger import RcutilsLogger

from uva_node_utils.diagnostics import Report
from uva_node_utils.latency import LatencyWindow
from uva_policy_node.parameters import PolicyParameters

STAGES = ("observation", "tokenizer", "transformer", "video", "action_head", "decoder", "inference")


class Health:
    """Collect what inputs and inference report. May be used from several threads."""

    def __init__(self, logger: RcutilsLogger, settings: PolicyParameters) -> None:
        """Begin without any statistics."""
        self._logger, self._settings = logger, settings
        self._windows = {stage: LatencyWindow() for stage in STAGES}  # in ms
        self._intervals = LatencyWindow()  # between publications, in s
        self._problem: tuple[bytes, str] | None = None
        self.begin()

    def begin(self) -> None:
        """Wait for a first publication from now on, as after activation."""
        self._matched_s = self._published_s = self._since_s = time.monotonic()
        self._problem = None
        self._intervals.clear()

    def switch_task(self) -> None:
        """Forget the statistics of another task, and wait for a first publication of this one."""
        for window in (*self._windows.values(), self._intervals):
            window.clear()
        self._since_s = self._published_s = time.monotonic()

    # What happens

    def matched(self) -> None:
        """Report messages with matching stamps."""
        self._matched_s = time.monotonic()

    def observed(self, seconds: float) -> None:
        """Report how long the messages of an observation took to convert."""
        self._windows["observation"].add(seconds * 1e3)

    def dropped(self, error: Exception) -> None:
        """Report a message that cannot be used."""
        self._problem = DiagnosticStatus.ERROR, f"observation dropped: {error}"
        self._logger.warning(self._problem[1], throttle_duration_sec=2.0)

    def waiting(self, reason: Exception) -> None:
        """Report an inference that lacks something."""
        self._problem = DiagnosticStatus.WARN, f"waiting: {reason}"
        self._logger.info(self._problem[1], throttle_duration_sec=2.0)

    def inferring(self) -> None:
        """Report the beginning of an inference."""
        self._problem = DiagnosticStatus.WARN, "an inference takes long"

    def failed(self, error: Exception) -> None:
        """Report an inference that raised."""
        self._problem = DiagnosticStatus.ERROR, f"inference failed: {type(error).__name__}: {error}"
        self._logger.error(self._problem[1], throttle_duration_sec=2.0)

    def published(self, stage_s: dict[str, float]) -> None:
        """Report a publication, with the seconds that each stage took."""
        for stage, seconds in stage_s.items():
            self._windows[stage].add(seconds * 1e3)
        now, previous = time.monotonic(), self._published_s
        self._published_s, self._problem = now, None
        if previous == self._since_s or now - previous > self._patience_s:
            self._intervals.clear()
        else:
            self._intervals.add(now - previous)

    # What is said of it

    def complain(self, silent: Sequence[str]) -> None:
        """Log why nothing was published for long, while the node is active. `silent` names silent topics."""
        now = time.monotonic()
        trouble = self._trouble(silent, active=True)
        if trouble and now - self._since_s > self._patience_s:
            self._logger.warning(
                f"nothing published for {now - self._published_s:.1f} s: {trouble[1]}", throttle_duration_sec=5.0
            )

    def report(self, values: dict[str, Any], silent: Sequence[str], *, active: bool) -> Report:
        """Return level, message and values for diagnostics.

        Args:
            values: `mask_mode`, and whatever else is to be shown before the statistics.
            silent: names of the topics on which nothing comes.
            active: whether the node is.
        """
        values = dict(values)
        for stage, window in self._windows.items():
            if len(window):
                values[f"{stage}_ms_p50"], values[f"{stage}_ms_p95"] = window.p50, window.p95
        if len(self._intervals):
            late = time.monotonic() - self._published_s > self._patience_s
            values["chunk_rate_hz"] = 0.0 if late or not active else 1.0 / self._intervals.p50
        ok = DiagnosticStatus.OK, f"mask mode '{values['mask_mode']}'"
        level, message = self._trouble(silent, active) or ok
        return level, message, values

    @property
    def _patience_s(self) -> float:
        """How long without a publication is normal."""
        return self._settings.observation_timeout_s + 1.0 / self._settings.rate_hz

    def _trouble(self, silent: Sequence[str], active: bool) -> tuple[bytes, str] | None:
        """Return why the node does not do its work; None if it does, is inactive, or has just begun."""
        now = time.monotonic()
        if silent:
            return DiagnosticStatus.ERROR, f"nothing on {', '.join(silent)}"
        if not active or now - self._published_s <= self._patience_s:
            return None
        if now - self._matched_s > self._settings.observation_timeout_s:
            return DiagnosticStatus.ERROR, f"no stamps match within {self._settings.sync_slop_s} s"
        return self._problem or (DiagnosticStatus.WARN, "nothing published")
