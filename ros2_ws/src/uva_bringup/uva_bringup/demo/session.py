# SPDX-License-Identifier: Apache-2.0
"""One demo from start to end: the stack runs and is recorded, then the recording is reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from uva_bringup.demo.episodes import run_episodes
from uva_bringup.demo.errors import DemoError
from uva_bringup.demo.monitor import Monitor
from uva_bringup.demo.summary import format_table, make_summary, write_summary
from uva_bringup.supervisor import Command, Supervisor
from uva_replay.camera_video import write_camera_video
from uva_replay.episode import Episode
from uva_replay.prediction import predict_best_moment
from uva_replay.prediction_picture import write_prediction
from uva_replay.recording import Recording
from uva_replay.statistics import Statistics, compute_statistics


def run_demo(commands: Sequence[Command], seeds: Sequence[int], limit_s: float, checkpoint: Path, folder: Path) -> None:
    """Run all episodes and write everything to the folder.

    Raises:
        DemoError: The stack was not healthy, or something could not be written.
    """
    print("starting the simulator, the driver and the policy", flush=True)
    episodes = record_episodes(commands, seeds, limit_s, folder)
    with Recording(folder / "bag") as recording:
        statistics = compute_statistics(recording, episodes)
        print(f"\n{format_table(episodes, statistics)}\n", flush=True)
        report(recording, episodes, statistics, checkpoint, folder)
        check_motion(statistics)
    print(f"written to {folder}: camera.mp4, prediction.png, bag/, summary.json, log/", flush=True)


def record_episodes(commands: Sequence[Command], seeds: Sequence[int], limit_s: float, folder: Path) -> list[Episode]:
    """Run the stack for all episodes, recording to bag/ and the nodes' output to log/."""
    with ExitStack() as cleanup:
        logs = {
            command.label: cleanup.enter_context((folder / "log" / f"{command.label}.log").open("w", buffering=1))
            for command in commands
        }
        supervisor = cleanup.enter_context(Supervisor(commands, _writer(logs)))
        monitor = cleanup.enter_context(Monitor(supervisor, folder / "bag"))
        return run_episodes(monitor, seeds, limit_s)


def check_motion(statistics: Statistics) -> None:
    """Raise DemoError if the arm did not execute what the policy sent."""
    if not statistics.steps_executed:
        raise DemoError(
            f"the driver executed no step: it accepted {statistics.chunks_accepted} chunks "
            f"and rejected {statistics.chunks_rejected}"
        )


def report(
    recording: Recording, episodes: Sequence[Episode], statistics: Statistics, checkpoint: Path, folder: Path
) -> None:
    """Write summary, video and picture, the numbers first: what fails later does not lose them.

    Raises:
        DemoError: One could not be written.
    """
    try:
        write_summary(make_summary(episodes, statistics), folder / "summary.json")
        write_camera_video(recording, episodes, folder / "camera.mp4")
        moment, prediction = predict_best_moment(recording, episodes, checkpoint)
        title = f"What UVA predicts: seed {moment.episode.seed}, {moment.offset_s:.1f} s into the episode"
        write_prediction(prediction, title, folder / "prediction.png")
    except (OSError, ValueError, RuntimeError) as error:
        raise DemoError(f"reporting failed: {error}") from error


def _writer(logs: Mapping[str, TextIO]) -> Callable[[str, str], None]:
    def write(label: str, line: str) -> None:
        logs[label].write(f"{line}\n")

    return write
