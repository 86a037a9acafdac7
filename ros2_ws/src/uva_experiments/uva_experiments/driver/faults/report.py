# SPDX-License-Identifier: Apache-2.0
"""Findings as a table and as results to write."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from uva_experiments.driver.faults.scenarios import Finding

HEADER = (
    "| fault | times count from | noticed (bound) | at rest (bound) | then | recovery | most of the limits used | |"
)


def row(finding: Finding) -> str:
    """Format a line of the table."""
    scenario, reaction, use = finding.scenario, finding.reaction, finding.use
    if reaction is None:
        return f"| {scenario.fault} | {scenario.since} | | | {finding.error} | | | FAILED |"
    cells = (
        scenario.fault,
        scenario.since,
        _time(reaction.noticed_s, scenario.noticed_bound_s),
        _time(reaction.rest_s, scenario.rest_bound_s),
        reaction.state,
        scenario.recovery,
        f"speed {use.velocity:.0%}, acceleration {use.acceleration:.0%}, jerk {use.jerk:.0%}, tool {use.tool:.0%}",
        "ok" if finding.passed else "FAILED",
    )
    return f"| {' | '.join(cells)} |"


def as_dict(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return everything that was measured; times in seconds, NaN where nothing was measured."""
    return {
        "passed": all(finding.passed for finding in findings),
        "faults": {finding.scenario.name: _entry(finding) for finding in findings},
    }


def _entry(finding: Finding) -> dict[str, Any]:
    scenario, reaction = finding.scenario, finding.reaction
    return {
        "fault": scenario.fault,
        "times_count_from": scenario.since,
        "noticed_bound_s": scenario.noticed_bound_s,
        "rest_bound_s": scenario.rest_bound_s,
        **(asdict(reaction) if reaction else {}),
        "limits": asdict(finding.use),
        "limits_kept": finding.use.kept,
        "passed": finding.passed,
        "error": finding.error,
    }


def _time(measured_s: float, bound_s: float) -> str:
    return "" if math.isnan(measured_s) else f"{measured_s * 1e3:.0f} ms ({bound_s * 1e3:.0f})"
