# SPDX-License-Identifier: Apache-2.0
"""Table, summary, statistics, picture and video on made-up recordings."""

import json
from types import SimpleNamespace

import imageio_ffmpeg
import numpy as np
import pytest
from uva_replay.camera_video import BAR_HEIGHT, FRAME_SIZE, RESULT_S, write_camera_video
from uva_replay.episode import Episode
from uva_replay.prediction import Frame, Moment, Prediction, candidate_times_s, find_moments, foresee, furthest_motion_m
from uva_replay.prediction_picture import draw_prediction
from uva_replay.statistics import Percentiles, Statistics, compute_statistics, percentiles

from uva_bringup.demo.summary import format_table, make_summary, write_summary
from uva_node_utils import topics

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


def test_statistics_count_only_what_happened_in_episodes():
    chunk = {"inference_time": SimpleNamespace(sec=0, nanosec=50_000_000)}
    status = {"steps_dropped": 1, "chunks_accepted": 5, "chunks_rejected": 2, "reason": "the world diverges"}
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
            (t, message(t, state=state, steps_executed=10 * t, loop_period_error_p99=error, **status))
            for t, state, error in (
                (95.0, "active", 0.5),
                (101.0, "active", NAN),
                (105.0, "holding", 0.0002),
                (106.0, "holding", 0.0002),
                (109.0, "active", 0.0003),
                (139.0, "active", 0.0004),
            )
        ],
        _uva_divergence=[(t, SimpleNamespace(data=0.001 * t)) for t in np.arange(90.0, 111.0)],
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
    assert statistics.divergence["p50"] == pytest.approx(0.105)
    assert statistics.guard_holds == 1


def test_percentiles_of_nothing_are_not_a_number():
    assert np.isnan(percentiles([]).p50)


def world(time_s: float, x: float):
    block = SimpleNamespace(position=SimpleNamespace(x=x, y=0.0))
    return time_s, message(time_s, blocks=[block])


def test_best_moment_is_where_a_block_moves_most_with_its_future_in_the_episode():
    late_push = [world(t, 0.3 + 0.02 * max(t - 130.0, 0.0)) for t in np.arange(120.0, 140.0, 0.05)]
    moved_after_the_end = [world(t, 0.3 + 0.1 * max(t - 109.0, 0.0)) for t in np.arange(100.0, 110.0, 0.05)]
    recording = MadeUpRecording(_sim_world_state=moved_after_the_end + late_push)
    moments = find_moments(recording, EPISODES, 1.6)
    assert moments[0].episode.seed == 20000
    assert moments[0].time_s == pytest.approx(108.4, abs=0.1)
    assert {moment.episode.seed for moment in moments} == {20000, 20001}
    times_s = sorted(moment.time_s for moment in moments)
    assert len(times_s) > 5
    assert np.diff(times_s).min() >= 0.5


def test_episodes_that_were_solved_at_once_have_a_moment_after_all_others():
    quick = Episode(3, 20002, 150.0, 150.4, True)
    states = [world(t, 0.3 + 0.3 * max(t - 150.0, 0.0)) for t in np.arange(150.0, 150.4, 0.05)]
    recording = MadeUpRecording(_sim_world_state=states)
    assert find_moments(recording, [quick], 1.6) == [Moment(quick, 150.0)]
    slow = MadeUpRecording(_sim_world_state=[world(t, 0.3) for t in np.arange(100.0, 110.0, 0.05)] + states)
    assert find_moments(slow, [EPISODES[0], quick], 1.6)[0].episode.seed == 20000
    assert find_moments(MadeUpRecording(), EPISODES, 1.6) == []


def test_motion_is_that_of_the_block_that_moves_furthest():
    times_s = np.array([0.0, 1.0, 1.6, 2.0])
    blocks = np.zeros((4, 2, 2))
    blocks[2:, 1] = (0.03, 0.04)
    assert furthest_motion_m(times_s, blocks, 0.0, 1.6) == pytest.approx(0.05)
    assert list(candidate_times_s(times_s, 1.0)) == [0.0, 1.0]
    assert list(candidate_times_s(times_s, 9.0)) == [0.0]
    assert candidate_times_s(np.zeros(0), 1.6).size == 0


def camera_images(missing=()):
    """Images every 0.05 s but at the missing times."""

    def images(topic, start_s, end_s):
        for time_s in np.arange(90.0, 160.0, 0.05):
            if start_s <= time_s <= end_s and not any(first < time_s < last for first, last in missing):
                yield float(time_s), np.full((128, 128, 3), 90, np.uint8)

    return images


@pytest.fixture
def checkpoint(tmp_path):
    """The smallest model, untrained."""
    pytest.importorskip("geometry_msgs.msg")
    presets = pytest.importorskip("uva_core.presets")
    from uva_core.config import UvaConfig
    from uva_core.policy.policy import UvaPolicy
    from uva_core.serialization import from_dict

    UvaPolicy(from_dict(UvaConfig, presets.load("uva_tiny")["config"])).save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def states():
    times_s = np.arange(90.0, 160.0, 0.05)
    pose = SimpleNamespace(
        position=SimpleNamespace(x=0.3, y=0.0, z=0.1), orientation=SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)
    )
    poses = [(t, message(t, pose=pose)) for t in times_s]
    for _, sent in poses:
        sent.header.frame_id = "base_link"
    return {
        "_x5_eef_pose": poses,
        "_x5_joint_states": [(t, message(t, name=["gripper"], position=[0.04])) for t in times_s],
        "_sim_world_state": [world(t, 0.3 + 0.02 * max(t - 106.0, 0.0)) for t in times_s],
    }


def test_a_gap_at_the_best_moment_leads_to_the_next(checkpoint, states):
    recording = MadeUpRecording(**states)
    recording.images = camera_images(missing=[(105.0, 105.5)])
    best = find_moments(recording, EPISODES[:1], 1.6)[0]
    moment, prediction = foresee(recording, EPISODES[:1], checkpoint)
    assert moment != best
    assert len(prediction.true) == len(prediction.predicted) == 4
    assert prediction.predicted[0].image.shape == (64, 64, 3)


def test_episode_shorter_than_the_prediction_shows_what_was_seen(checkpoint, states):
    recording = MadeUpRecording(**states)
    recording.images = camera_images()
    quick = Episode(1, 20000, 106.0, 106.9, True)
    moment, prediction = foresee(recording, [quick], checkpoint)
    assert moment.offset_s == pytest.approx(0.0, abs=0.05)
    assert (len(prediction.history), len(prediction.predicted), len(prediction.true)) == (4, 4, 2)
    draw_prediction(prediction, "seed 20000")


def test_recording_without_images_has_no_moment(checkpoint, states):
    recording = MadeUpRecording(**states)
    recording.images = lambda *_: iter(())
    with pytest.raises(ValueError, match=f"no moment to predict at: no image on {topics.CAMERA}"):
        foresee(recording, EPISODES, checkpoint)


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
