# SPDX-License-Identifier: Apache-2.0
"""Table and summary of made-up results."""

import json

from uva_bringup.demo.summary import format_table, make_summary, write_summary
from uva_replay.episode import Episode
from uva_replay.statistics import Percentiles, Statistics

EPISODES = (Episode(1, 20000, 100.0, 110.0, True), Episode(2, 20001, 120.0, 140.0, False))
NAN = float("nan")
STATISTICS = Statistics(
    chunk_rate_hz=6.25,
    latency_ms={"tokenizer": Percentiles(7.0, 9.0), "inference": Percentiles(51.2, 80.7)},
    loop_period_error_ms_p99=0.42,
    steps_executed=900,
    steps_dropped=4,
    chunks_accepted=180,
    chunks_rejected=12,
    divergence={"p50": 0.1, "p99": 0.3},
    guard_holds=0,
)


def test_table_shows_every_episode_and_every_number():
    table = format_table(EPISODES, STATISTICS)
    for line in (
        "      1   20000     yes     10.0",
        "      2   20001      no     20.0",
        "tokenizer             7 ms    9 ms",
        "inference            51 ms   81 ms",
        "solved            1 of 2",
        "chunk rate        6.2 Hz",
        "loop jitter p99   0.42 ms",
        "steps dropped     4",
    ):
        assert line in table.splitlines()


def test_summary_has_the_agreed_keys_and_is_valid_json_without_measurements(tmp_path):
    unmeasured = Statistics(0.0, {"inference": Percentiles(NAN, NAN)}, NAN, 0, 0, 0, 0, {"p50": NAN}, 0)
    write_summary(make_summary(EPISODES, unmeasured), tmp_path / "summary.json")
    text = (tmp_path / "summary.json").read_text()
    assert "NaN" not in text
    summary = json.loads(text)
    assert (summary["episodes"], summary["solved"], summary["seeds"]) == (2, 1, [20000, 20001])
    assert summary["latency_ms"] == {"inference": {"p50": None, "p95": None}}
    assert summary["loop_period_error_ms_p99"] is None
    assert summary["per_episode"][0] == {"seed": 20000, "solved": True, "seconds": 10.0}
    assert {"chunk_rate_hz", "steps_dropped", "machine", "date", "versions"} <= set(summary)
