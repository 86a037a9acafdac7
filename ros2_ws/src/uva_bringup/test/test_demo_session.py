# SPDX-License-Identifier: Apache-2.0
"""The whole demo over real DDS, with fakes in place of simulator and policy."""

import json
import sys
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import imageio_ffmpeg
import numpy as np
import psutil
import pytest
from PIL import Image
from rosbags.highlevel import AnyReader

from uva_bringup.demo import episodes, monitor, session
from uva_bringup.demo.__main__ import prepare_output
from uva_bringup.demo.domain import isolated_environment
from uva_bringup.demo.errors import DemoError
from uva_bringup.supervisor import Command
from uva_core.observation.buffer import ObservationNotReadyError
from uva_core.observation.config import ObservationConfig
from uva_core.policy.policy import UvaPolicy
from uva_replay import prediction
from uva_replay.episode import Episode
from uva_replay.prediction import Frame
from uva_replay.recording import Recording
from uva_replay.statistics import compute_statistics

FAKES = Path(__file__).parent / "fakes"

POLICY = SimpleNamespace(
    frame_times_s=np.array([0.4, 0.8]),
    config=SimpleNamespace(observation=ObservationConfig(rate_hz=10.0, frame_offsets=(-4, 0))),
)

pytestmark = pytest.mark.system


@contextmanager
def short_demo(folder: Path):
    """Give a function that runs a short demo with a fake simulator of the given behaviour."""
    mark = f"of={folder}"  # tells these processes from those of tests that run at the same time

    def run(behaviour: str, seeds=(2, 3), limit_s=4.0) -> Path:
        commands = [
            Command("sim", [sys.executable, str(FAKES / "fake_sim.py"), behaviour, mark]),
            Command("uva_policy_node", [sys.executable, str(FAKES / "fake_policy.py"), mark], linger_s=0.5),
        ]
        prepare_output(folder / "demo")
        session.run_demo(commands, seeds, limit_s, Path("model"), folder / "demo")
        return folder / "demo"

    with pytest.MonkeyPatch.context() as patch:
        for name, value in isolated_environment().items():
            patch.setenv(name, value)
        patch.setenv("ROS_LOG_DIR", str(folder / "ros_log"))
        patch.setattr(episodes, "SETTLE_S", 0.2)
        patch.setattr(episodes, "STARTUP_TIMEOUT_S", 8.0)
        patch.setattr(monitor, "MOST_SILENCE_S", 1.5)
        patch.setattr(UvaPolicy, "load", lambda path: POLICY)
        patch.setattr(prediction, "predict_frames", fake_prediction)
        yield run
    assert not [p for p in psutil.process_iter(["cmdline"]) if mark in (p.info["cmdline"] or [])]


@pytest.fixture
def run(tmp_path):
    with short_demo(tmp_path) as run:
        yield run


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """Return the folder of a healthy run and what was printed."""
    with short_demo(tmp_path_factory.mktemp("healthy")) as run, redirect_stdout(StringIO()) as printed:
        return run("healthy"), printed.getvalue()


def fake_prediction(policy, images, eef_poses, joint_states):
    assert images and eef_poses and joint_states
    return [Frame(0.4, np.zeros((64, 64, 3), np.uint8)), Frame(0.8, images[-1][1])]


def test_healthy_run_writes_everything(healthy):
    out, printed = healthy
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["episodes"], summary["solved"]) == (2, 1)
    assert [episode["solved"] for episode in summary["per_episode"]] == [True, False]
    assert summary["chunk_rate_hz"] == pytest.approx(10.0, rel=0.4)
    assert summary["latency_ms"]["tokenizer"] == {"p50": 7.0, "p95": 9.0}
    assert summary["latency_ms"]["inference"]["p50"] == pytest.approx(30.0)
    assert 0.0 < summary["latency_ms"]["camera_to_chunk"]["p50"] < 500.0
    assert summary["loop_period_error_ms_p99"] == pytest.approx(0.4)
    assert summary["steps_executed"] > 0
    assert summary["steps_dropped"] == 0
    assert Image.open(out / "prediction.png").width > 1000
    assert imageio_ffmpeg.count_frames_and_secs(str(out / "camera.mp4"))[0] > 100
    assert "fake simulator runs" in (out / "log" / "sim.log").read_text()
    assert "solved" in printed


def test_bag_holds_all_topics_with_their_definitions(healthy):
    out, _ = healthy
    with AnyReader([out / "bag"]) as bag:  # without any installed definition: the bag's own are used
        counts = {topic: info.msgcount for topic, info in bag.topics.items()}
        chunks = [c for c in bag.connections if c.topic == "/uva/action_chunk"]
        _, _, data = next(bag.messages(chunks))
        chunk = bag.deserialize(data, "uva_msgs/msg/ActionChunk")
    assert chunk.mask_mode == "policy"
    assert chunk.inference_time.nanosec == 30_000_000
    for topic in ("/camera/image_raw", "/sim/world_state", "/x5/status", "/x5/joint_states", "/diagnostics", "/rosout"):
        assert counts[topic] > 0, topic


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("blind", r"no message on camera/image_raw within 8 s"),
        ("fault_when_driven", r"the driver is in fault: the arm does not answer"),
        ("die_when_enabled", r"sim exited with code 3 after saying: the simulator has crashed"),
        ("refuse_reset", r"service sim/reset refused: no such scene"),
    ],
)
def test_unhealthy_run_ends_with_its_reason(run, behaviour, message):
    with pytest.raises(DemoError, match=message):
        run(behaviour)


def test_fault_before_the_arm_was_enabled_does_no_harm(run):
    assert (run("fault_until_enabled", seeds=(2,)) / "summary.json").exists()


def test_numbers_are_written_even_when_no_prediction_can_be_made(healthy, monkeypatch, tmp_path):
    def not_ready(*_):
        raise ObservationNotReadyError("no image within 100 ms")

    monkeypatch.setattr(UvaPolicy, "load", lambda path: POLICY)
    monkeypatch.setattr(prediction, "predict_frames", not_ready)
    out, _ = healthy
    with AnyReader([out / "bag"]) as bag:
        end = Episode(1, 2, bag.end_time * 1e-9 - 2.0, bag.end_time * 1e-9, True)
    with Recording(out / "bag") as recording:
        statistics = compute_statistics(recording, [end])
        with pytest.raises(DemoError, match="reporting failed: no moment to predict at: no image within 100 ms"):
            session.report(recording, [end], statistics, Path("model"), tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["solved"] == 1
