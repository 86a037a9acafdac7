# SPDX-License-Identifier: Apache-2.0
"""Statistics of made-up recordings."""

from types import SimpleNamespace

import numpy as np
import pytest

from uva_node_utils import topics
from uva_replay.episode import Episode
from uva_replay.statistics import Percentiles, compute_statistics, percentiles

EPISODES = (Episode(1, 20000, 100.0, 110.0, True), Episode(2, 20001, 120.0, 140.0, False))


def status_of(name: str, **values) -> SimpleNamespace:
    return SimpleNamespace(
        name=name, values=[SimpleNamespace(key=key, value=str(value)) for key, value in values.items()]
    )


def test_statistics_count_only_what_happened_in_episodes(made_up_recording, message):
    chunk = {"inference_time": SimpleNamespace(sec=0, nanosec=50_000_000)}
    status = {"steps_dropped": 1, "chunks_accepted": 5, "chunks_rejected": 2, "reason": "the world diverges"}
    diagnostics = SimpleNamespace(
        status=[
            status_of("other", tokenizer_ms_p50=99),
            status_of(
                "uva_policy_node: inference",
                mask_mode="policy", tokenizer_ms_p50=7, tokenizer_ms_p95=9, chunk_rate_hz=5,
            ),
        ]
    )  # fmt: skip
    states = (
        (95.0, "active", 0.5),
        (101.0, "active", float("nan")),
        (105.0, "holding", 0.0002),
        (106.0, "holding", 0.0002),
        (109.0, "active", 0.0003),
        (139.0, "active", 0.0004),
    )
    recording = made_up_recording(
        {
            topics.ACTION_CHUNK: [(t + 0.08, message(t, **chunk)) for t in np.arange(90.0, 150.0, 0.2)],
            topics.DRIVER_STATUS: [
                (t, message(t, state=state, steps_executed=10 * t, loop_period_error_p99=error, **status))
                for t, state, error in states
            ],
            topics.DIVERGENCE: [(t, SimpleNamespace(data=0.001 * t)) for t in np.arange(90.0, 111.0)],
            topics.DIAGNOSTICS: [(105.0, diagnostics)],
        }
    )
    statistics = compute_statistics(recording, EPISODES)
    assert statistics.chunk_rate_hz == pytest.approx(5.0, rel=0.02)
    assert statistics.latency_ms["tokenizer"] == Percentiles(7.0, 9.0)
    assert statistics.latency_ms["inference"].p50 == pytest.approx(50.0)
    assert statistics.latency_ms["camera_to_chunk"].p95 == pytest.approx(80.0)
    assert statistics.loop_period_error_ms_p99 == pytest.approx(0.4)
    assert statistics.steps_executed == 380
    assert statistics.steps_dropped == 0
    assert statistics.divergence["p50"] == pytest.approx(0.105)
    assert statistics.guard_holds == 1


def test_percentiles_of_nothing_are_not_a_number():
    assert np.isnan(percentiles([]).p50)
