# SPDX-License-Identifier: Apache-2.0
"""States of the driver and what it reports about itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """States of the driver, by the names that it publishes."""

    UNCONFIGURED = "unconfigured"
    INACTIVE = "inactive"
    ACTIVE = "active"
    HOLDING = "holding"
    STOPPED = "stopped"
    FAULT = "fault"


ENABLED = (State.ACTIVE, State.HOLDING)


class RequestRefusedError(RuntimeError):
    """An operator's request cannot be granted now; the message says why."""


@dataclass(frozen=True)
class Snapshot:
    """What the controller says about itself; counts are since it was made.

    Attributes:
        state: present state.
        reason: why it is in it.
        chunk_sequence: of the newest accepted chunk, 0 if there is none.
        chunk_age_s: time since that was received, NaN if there is none.
        chunks_accepted: chunks that were executed.
        chunks_rejected: chunks that were not.
        last_rejection: why the newest chunk was rejected, empty if it was accepted.
        steps_executed: steps whose time came while their chunk was running.
        steps_dropped: steps that were late when their chunk came.
        steps_superseded: steps that a newer chunk, or the end of the motion, replaced before their time.
        chunk_delay_s: 95th percentile of the times from an observation to the receipt of its chunk, NaN if unknown.
        action_latency_s: by how much targets are taken earlier for the arm's sake.
        divergence: the newest reported between prediction and world, NaN if there is none.
        rule_counts: how often each safety rule acted.
    """

    state: State
    reason: str
    chunk_sequence: int
    chunk_age_s: float
    chunks_accepted: int
    chunks_rejected: int
    last_rejection: str
    steps_executed: int
    steps_dropped: int
    steps_superseded: int
    chunk_delay_s: float
    action_latency_s: float
    divergence: float
    rule_counts: dict[str, int]
