# SPDX-License-Identifier: Apache-2.0
"""How well the stack ran, from the recording of its episodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uva_node_utils import topics
from uva_replay.episode import Episode
from uva_replay.recording import Recording, stamp_of

INFERENCE_STATUS = "uva_policy_node: inference"
# From the stamp of the newest image in a chunk to the receipt of the chunk: all stages, and the transport.
CAMERA_TO_CHUNK = "camera_to_chunk"
INFERENCE = "inference"


@dataclass(frozen=True)
class Percentiles:
    """Of a latency, in milliseconds."""

    p50: float
    p95: float


@dataclass(frozen=True)
class Statistics:
    """Numbers over all episodes.

    Attributes:
        chunk_rate_hz: Chunks received a second while an episode ran.
        latency_ms: By stage. `camera_to_chunk` and `inference` over all chunks; the policy's other stages,
            which it publishes over a sliding window once a second, as medians of what it published.
        loop_period_error_ms_p99: Worst of the driver's 99th percentiles over its sliding window.
        steps_executed: Steps of chunks that the driver reached.
        steps_dropped: Steps that the driver received too late.
        chunks_accepted: Chunks that the driver accepted.
        chunks_rejected: Chunks that it rejected, also because it was stopped between episodes.
        divergence: Percentiles of the published divergences.
        guard_holds: How often the driver held because of a divergence.
    """

    chunk_rate_hz: float
    latency_ms: dict[str, Percentiles]
    loop_period_error_ms_p99: float
    steps_executed: int
    steps_dropped: int
    chunks_accepted: int
    chunks_rejected: int
    divergence: dict[str, float]
    guard_holds: int


def compute_statistics(recording: Recording, episodes: Sequence[Episode]) -> Statistics:
    """Compute the numbers from the messages recorded during the episodes."""
    chunks = [item for e in episodes for item in recording.messages(topics.ACTION_CHUNK, e.start_s, e.end_s)]
    statuses = [m for e in episodes for _, m in recording.messages(topics.DRIVER_STATUS, e.start_s, e.end_s)]
    diagnostics = [m for e in episodes for _, m in recording.messages(topics.DIAGNOSTICS, e.start_s, e.end_s)]
    ages_s = [receipt_s - stamp_of(chunk) for receipt_s, chunk in chunks]
    inference_s = [c.inference_time.sec + c.inference_time.nanosec * 1e-9 for _, c in chunks]
    divergences = [m.data for e in episodes for _, m in recording.messages(topics.DIVERGENCE, e.start_s, e.end_s)]
    latency_ms = {
        **stage_percentiles(diagnostics),
        INFERENCE: percentiles(inference_s),
        CAMERA_TO_CHUNK: percentiles(ages_s),
    }
    return Statistics(
        chunk_rate_hz=len(chunks) / sum(e.duration_s for e in episodes),
        latency_ms=latency_ms,
        loop_period_error_ms_p99=1e3 * _largest(status.loop_period_error_p99 for status in statuses),
        steps_executed=_growth([status.steps_executed for status in statuses]),
        steps_dropped=_growth([status.steps_dropped for status in statuses]),
        chunks_accepted=_growth([status.chunks_accepted for status in statuses]),
        chunks_rejected=_growth([status.chunks_rejected for status in statuses]),
        divergence={f"p{percent}": float(np.percentile(divergences or [np.nan], percent)) for percent in (50, 95, 99)},
        guard_holds=sum(map(_begins_guard_hold, statuses, statuses[1:])),
    )


def percentiles(samples_s: Sequence[float]) -> Percentiles:
    """Return the percentiles of latencies given in seconds; NaN where there are none."""
    if not samples_s:
        return Percentiles(float("nan"), float("nan"))
    p50_s, p95_s = np.percentile(samples_s, (50, 95))
    return Percentiles(float(p50_s * 1e3), float(p95_s * 1e3))


def stage_percentiles(diagnostics: Iterable[Any]) -> dict[str, Percentiles]:
    """Return the policy's latencies by stage from DiagnosticArrays, in their order there."""
    values: dict[str, list[float]] = defaultdict(list)
    for message in diagnostics:
        for status in message.status:
            if status.name.endswith(INFERENCE_STATUS):
                for pair in status.values:
                    values[pair.key].append(float(pair.value) if "_ms_p" in pair.key else 0.0)
    suffix = "_ms_p50"
    stages = [key.removesuffix(suffix) for key in values if key.endswith(suffix)]
    return {
        stage: Percentiles(_median(values[f"{stage}_ms_p50"]), _median(values[f"{stage}_ms_p95"])) for stage in stages
    }


def _begins_guard_hold(before: Any, status: Any) -> bool:
    return status.state == "holding" != before.state and "diverges" in status.reason


def _median(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.median(finite)) if finite else float("nan")


def _largest(values: Iterable[float]) -> float:
    return max((float(value) for value in values if np.isfinite(value)), default=float("nan"))


def _growth(counter: Sequence[int]) -> int:
    return int(counter[-1] - counter[0]) if counter else 0
