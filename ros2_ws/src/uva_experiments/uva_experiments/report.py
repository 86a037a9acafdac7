# SPDX-License-Identifier: Apache-2.0
"""Results of experiments as JSON: one form, with the machine and the date that the numbers belong to."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any


def machine() -> str:
    """Return what the numbers depend on, in one line."""
    return f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"


def write_results(path: Path, results: Mapping[str, Any], setup: Mapping[str, Any]) -> None:
    """Write results and the setup that they were measured with; numbers that are not finite become null.

    Args:
        path: the file; its folder is made where it is missing.
        results: what was measured, by name.
        setup: options of the experiment; machine and date are added.
    """
    dated = {**setup, "machine": machine(), "date": datetime.now(timezone.utc).isoformat(timespec="seconds")}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_finite({**results, "setup": dated}), indent=2, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
