# SPDX-License-Identifier: Apache-2.0
"""Table, summary, statistics, picture and video on made-up recordings."""

import json
from types import SimpleNamespace

import imageio_ffmpeg
import numpy as np
import pytest

from uva_bringup.demo import topics
from uva_bringup.demo.camera_video import BAR_HEIGHT, FRAME_SIZE, RESULT_S, write_camera_video
from uva_bringup.demo.episode import Episode
from uva_bringup.demo.prediction import Frame, Prediction, candidate_indices, find_moment, furthest_motion_m
from uva_bringup.demo.prediction_picture import draw_prediction
from uva_bringup.demo.statistics import Percentiles, Statistics, compute_statistics, percentiles
from uva_bringup.demo.summary import format_table, make_summary, write_summary

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
)


def stamp(time_s: float) -> SimpleNamespace:
    return SimpleNamespace(sec=int(time_s), nanosec=round(time_s % 1 * 1e9))


def message(time_s: float, **content) -> SimpleNamespace:
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp(time_s)), **content)


def key_values(**values) -> list[SimpleNamespace]:
    return [SimpleNamespace(key=key, value=str(value)) for key, value in values.items()]


class MadeUpRecording:
    """Stands for Recording: messages by topic as (receipt time, message)."""

    def __init__(self, **messages) -> None:
        self.content = messages

    def messages(self, topic, start_s, end_s):
        return [(t, m) for t, m in self.content.get(topic.replace("/", "_"), []) if start_s <= t <= end_s]

    def images(self, topic, start_s, end_s):
        times_s = np.arange(start_s, end_s, 0.5)
        return ((t, np.full((128, 128, 3), 90, np.uint8)) for t in times_s)


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
    unmeasured = Statistics(0.0, {"inference": Percentiles(NAN, NAN)}, NAN, 0, 0, 0, 0)
    write_summary(make_summary(EPISODES, unmeasured), tmp_path / "summary.json")
    text = (tmp_path / "summary.json").read_text()
    assert "NaN" not in text
    summary = json.loads(text)
    assert (summary["episodes"], summary["solved"], summary["seeds"]) == (2, 1, [20000, 20001])
    assert summary["latency_ms"] == {"inference": {"p50": None, "p95": None}}
    assert summary["loop_period_error_ms_p99"] is None
    assert summary["per_episode"][0] == {"seed": 20000, "solved": True, "seconds": 10.0}
    assert {"chunk_rate_hz", "steps_dropped", "machine", "date", "versions"} <= set(summary)


def test_statistics_count_only_what_happened_in_episodes():
    chunk = {"inference_time": SimpleNamespace(sec=0, nanosec=50_000_000)}
    status = {"steps_dropped": 1, "chunks_accepted": 5, "chunks_rejected": 2}
    diagnostics = SimpleNamespace(
        status=[
            SimpleNamespace(name="other", values=key_values(tokenizer_ms_p50=99)),
            SimpleNamespace(
                name="uva_policy_node: inference",
                values=key_values(mask_mode="policy", tokenizer_ms_p50=7, tokenizer_ms_p95=9, chunk_rate_hz=5),
            ),
        ]
    )
    recording = MadeUpRecording(
        _uva_action_chunk=[(t + 0.08, message(t, **chunk)) for t in np.arange(90.0, 150.0, 0.2)],
        _x5_status=[
            (t, message(t, steps_executed=10 * t, loop_period_error_p99=error, **status))
            for t, error in ((95.0, 0.5), (101.0, NAN), (109.0, 0.0003), (139.0, 0.0004))
        ],
        _diagnostics=[(105.0, diagnostics)],
    )
    statistics = compute_statistics(recording, EPISODES)
    assert statistics.chunk_rate_hz == pytest.approx(5.0, rel=0.02)
    assert statistics.latency_ms["tokenizer"] == Percentiles(7.0, 9.0)
    assert statistics.latency_ms["inference"].p50 == pytest.approx(50.0)
    assert statistics.latency_ms["camera_to_chunk"].p95 == pytest.approx(80.0)
    assert statistics.loop_period_error_ms_p99 == pytest.approx(0.4)
    assert statistics.steps_executed == 380
    assert statistics.steps_dropped == 0


def test_percentiles_of_nothing_are_not_a_number():
    assert np.isnan(percentiles([]).p50)


def world(time_s: float, x: float):
    block = SimpleNamespace(position=SimpleNamespace(x=x, y=0.0))
    return time_s, message(time_s, blocks=[block])


def test_moment_is_where_a_block_moves_most_with_history_and_future_in_the_episode():
    quick_too_early = [world(t, 0.3 + 0.1 * min(t - 100.0, 0.5)) for t in np.arange(100.0, 110.0, 0.05)]
    late_push = [world(t, 0.3 + 0.02 * max(t - 130.0, 0.0)) for t in np.arange(120.0, 140.0, 0.05)]
    recording = MadeUpRecording(_sim_world_state=quick_too_early + late_push)
    moment = find_moment(recording, EPISODES)
    assert moment.episode.seed == 20001
    assert 130.0 <= moment.time_s <= 138.4


def test_too_short_episodes_are_an_error():
    recording = MadeUpRecording(_sim_world_state=[world(t, 0.3) for t in (100.0, 101.0, 102.0)])
    with pytest.raises(ValueError, match=r"no episode lasted 3.2 s"):
        find_moment(recording, EPISODES)


def test_motion_is_that_of_the_block_that_moves_furthest():
    times_s = np.array([0.0, 1.0, 1.6, 2.0])
    blocks = np.zeros((4, 2, 2))
    blocks[2:, 1] = (0.03, 0.04)
    assert furthest_motion_m(times_s, blocks, 0.0) == pytest.approx(0.05)
    assert candidate_indices(times_s).size == 0
    assert candidate_indices(np.zeros(0)).size == 0


def test_picture_puts_predicted_frames_under_the_true_ones():
    def frames(offsets_s, grey):
        return [Frame(offset_s, np.full((64, 64, 3), grey, np.uint8)) for offset_s in offsets_s]

    future_s = (0.4, 0.8, 1.2, 1.6)
    prediction = Prediction(frames((-1.2, -0.8, -0.4, 0.0), 80), frames(future_s, 240), frames(future_s, 160))
    pixels = np.asarray(draw_prediction(prediction, "seed 20000"))
    true_columns = np.flatnonzero((pixels == 160).all(-1).sum(0) > 100)
    predicted_columns = np.flatnonzero((pixels == 240).all(-1).sum(0) > 100)
    assert true_columns.size == predicted_columns.size > 4 * 200
    assert np.array_equal(true_columns, predicted_columns)
    true_rows, predicted_rows = (np.flatnonzero((pixels == grey).all(-1).sum(1) > 100) for grey in (160, 240))
    assert predicted_rows.min() > true_rows.max()


def test_video_holds_the_result_of_each_episode(tmp_path):
    path = tmp_path / "camera.mp4"
    write_camera_video(MadeUpRecording(), EPISODES[:1], path)
    reader = imageio_ffmpeg.read_frames(str(path))
    assert next(reader)["size"] == (FRAME_SIZE, FRAME_SIZE + BAR_HEIGHT)
    assert sum(1 for _ in reader) == 20 + round(RESULT_S * 40)


def test_video_without_images_is_an_error(tmp_path):
    recording = MadeUpRecording()
    recording.images = lambda *_: iter(())
    with pytest.raises(ValueError, match=f"no image on {topics.CAMERA} in episode 1"):
        write_camera_video(recording, EPISODES, tmp_path / "camera.mp4")
