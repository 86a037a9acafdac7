# SPDX-License-Identifier: Apache-2.0
"""The demo's result as summary.json and as a table."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from uva_replay.episode import Episode
from uva_replay.statistics import Statistics

PACKAGES = ("uva_bringup", "uva_core", "torch", "mujoco", "numpy")


def make_summary(episodes: Sequence[Episode], statistics: Statistics) -> dict[str, Any]:
    """Return what goes into summary.json."""
    return {
        "episodes": len(episodes),
        "solved": sum(episode.solved for episode in episodes),
        **asdict(statistics),
        "seeds": [episode.seed for episode in episodes],
        "per_episode": [{"seed": e.seed, "solved": e.solved, "seconds": round(e.duration_s, 2)} for e in episodes],
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
    }


def machine() -> dict[str, Any]:
    """Return what the numbers depend on."""
    return {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()}


def versions() -> dict[str, str]:
    """Return the versions of what ran."""
    found = {"python": platform.python_version(), "ros": os.environ.get("ROS_DISTRO", "unknown")}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def write_summary(summary: dict[str, Any], path: Path) -> None:
    """Write summary.json; numbers that could not be measured become null."""
    path.write_text(json.dumps(_without_nan(summary), indent=2) + "\n")


def format_table(episodes: Sequence[Episode], statistics: Statistics) -> str:
    """Return the result as text for a terminal."""
    solved = sum(episode.solved for episode in episodes)
    rows = [f"{'episode':>7}  {'seed':>6}  {'solved':>6}  {'seconds':>7}"]
    for e in episodes:
        rows.append(f"{e.number:>7}  {e.seed:>6}  {'yes' if e.solved else 'no':>6}  {e.duration_s:>7.1f}")
    rows += ["", f"{'stage':<18}{'p50':>8}{'p95':>8}"]
    for stage, latency in statistics.latency_ms.items():
        rows.append(f"{stage:<18}{latency.p50:>5.0f} ms{latency.p95:>5.0f} ms")
    facts = {
        "solved": f"{solved} of {len(episodes)}",
        "chunk rate": f"{statistics.chunk_rate_hz:.1f} Hz",
        "loop jitter p99": f"{statistics.loop_period_error_ms_p99:.2f} ms",
        "steps executed": f"{statistics.steps_executed}",
        "steps dropped": f"{statistics.steps_dropped}",
    }
    return "\n".join([*rows, "", *(f"{name:<18}{value}" for name, value in facts.items())])


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value
