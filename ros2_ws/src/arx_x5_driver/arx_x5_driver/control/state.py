# SPDX-License-Identifier: Apache-2.0
"""The driver's states and its report about itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """The driver's states, with the names that it publishes."""

    UNCONFIGURED = "unconfigured"
    INACTIVE = "inactive"
    ACTIVE = "active"
    HOLDING = "holding"
    STOPPED = "stopped"
    FAULT = "fault"


ENABLED = (State.ACTIVE, State.HOLDING)


class RequestRefusedError(RuntimeError):
    """An operator's request is refused; the message says why."""


@dataclass(frozen=True)
class Snapshot:
    """The controller's report about itself. Counts start when the controller is made.

    Attributes:
        state: present state.
        reason: why the driver is in that state.
        chunk_sequence: sequence of the newest accepted chunk, 0 if there is none.
        chunk_age_s: time since the receipt of that chunk, NaN if there is none.
        chunks_accepted: number of chunks that were accepted.
        chunks_rejected: number of chunks that were rejected.
        last_rejection: why the newest chunk was rejected, empty if it was accepted.
        steps_executed: steps that became due while their chunk was running.
        steps_dropped: steps that were already due when their chunk was received.
        steps_superseded: steps that a newer chunk, or the end of the motion, replaced before their time.
        chunk_delay_s: 95th percentile of the times from an observation to the receipt of its chunk, NaN if unknown.
        action_latency_s: how far ahead targets are taken because commands take effect late.
        divergence: the newest reported divergence between prediction and world, NaN if there is none.
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
