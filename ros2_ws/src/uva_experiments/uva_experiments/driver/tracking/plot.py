# SPDX-License-Identifier: Apache-2.0
"""The picture of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from uva_experiments.driver.tracking.run import RUN_IN_S, Recording

_COLOURS = ("tab:red", "tab:blue")
_SHOWN_S = 4.0


def save_plot(recordings: Mapping[str, Recording], path: Path) -> None:
    """Draw the paths, and error and speed over some seconds of runs by name, to a PNG file."""
    figure = Figure(figsize=(10.0, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplot_mosaic([["path", "error"], ["path", "speed"]], width_ratios=[1.1, 1.0])
    wanted = next(iter(recordings.values())).wanted
    axes["path"].plot(1e2 * wanted[:, 1], 1e2 * wanted[:, 2], color="black", linewidth=3.0, alpha=0.25, label="wanted")
    for (name, recording), colour in zip(recordings.items(), _COLOURS, strict=False):
        judged = recording.times_s > RUN_IN_S
        shown = judged & (recording.times_s <= RUN_IN_S + _SHOWN_S)
        times_s = recording.times_s[shown]
        place = 1e2 * recording.position[judged]
        axes["path"].plot(place[:, 1], place[:, 2], color=colour, linewidth=0.7, label=name)
        error = 1e3 * np.linalg.norm(recording.position - recording.wanted, axis=1)
        axes["error"].plot(times_s, error[shown], color=colour, linewidth=1.0)
        speed = np.abs(np.gradient(recording.joints[:, 0], recording.times_s))
        axes["speed"].plot(times_s, speed[shown], color=colour, linewidth=1.0)
    axes["path"].set(xlabel="y [cm]", ylabel="z [cm]", aspect="equal", title="path of the end effector")
    axes["path"].legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, frameon=False)
    axes["error"].set(ylabel="error [mm]", title=f"{_SHOWN_S:.0f} s of it")
    axes["speed"].set(xlabel="time [s]", ylabel="|speed|, joint 1 [rad/s]")
    for axis in axes.values():
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
