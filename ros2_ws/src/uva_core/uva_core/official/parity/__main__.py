# SPDX-License-Identifier: Apache-2.0
"""Compare this package with recorded cases of the official implementation.

python -m uva_core.official.parity ros2_ws/src/uva_core/test/golden
python -m uva_core.official.parity CASES --out out/parity.json --verbose

CASES is one case or a folder of cases, each with case.json and tensors.safetensors. Prints the largest absolute
difference by case and mode. Allowed: 1e-5, or five times what rounding alone does to that output, as the case records
it. Exit code 0: everything recorded was computed and is equal; 1: not so; 2: there is nothing to compare.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from uva_core.official.parity import autoencoder, losses, tables
from uva_core.official.parity.case import Case, Row
from uva_core.official.parity.network import NetworkCase
from uva_core.official.parity.observed_policy import PolicyCase


def find_cases(folder: Path) -> list[Path]:
    """Return the folders of all cases in `folder`, or `folder` itself.

    Raises:
        FileNotFoundError: there are none.
    """
    found = sorted(path.parent for path in [*folder.glob("case.json"), *folder.glob("*/case.json")])
    if not found:
        raise FileNotFoundError(f"no case.json in {folder} or in a folder of it")
    return found


def results(case: Case) -> Iterator[tuple[str, Tensor]]:
    """Compute what a case records. What kind of case it is shows in what it describes."""
    if "transformer_weights_from" in case.about:
        return PolicyCase(case).results()
    if "ch_mult" in case.constructor:
        return autoencoder.results(case)
    if "encoder_depth" in case.constructor:
        network = NetworkCase(case)
        return itertools.chain(network.results(), losses.results(network))
    return tables.results(case)


def run(folder: Path) -> list[Row]:
    """Compare one case. A case that stops with an error keeps the rows it had, and one for the error."""
    rows: list[Row] = []
    name = folder.name
    try:
        case = Case(folder)
        name = case.name
        for row in tqdm(case.compare(results(case)), desc=name, total=len(case.outputs), unit="output", leave=False):
            rows.append(row)
    except (KeyError, ValueError, RuntimeError, FileNotFoundError) as error:
        rows.append(Row(name, "(error)", None, None, f"{type(error).__name__}: {error}"))
    return rows


def table(rows: Sequence[Row]) -> str:
    """Return the largest error by case and group as text, with every problem below."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.case, row.group), []).append(row)
    lines = [f"{'case':20} {'mode or part':24} {'outputs':>8} {'max error':>11} {'of allowed':>11}  result"]
    for (case, group), members in groups.items():
        compared = [r for r in members if r.error is not None]
        worst = max((r.error or 0.0 for r in compared), default=float("nan"))
        share = max((_share(r) for r in compared), default=float("nan"))
        result = "ok" if all(r.passed for r in members) else "FAILED"
        lines.append(f"{case:20} {group:24} {len(members):8} {worst:11.2e} {share:10.0%}   {result}")
    lines += [f"{r.case} {r.output}: {r.problem}{_numbers(r)}" for r in rows if not r.passed]
    return "\n".join(lines)


def _share(row: Row) -> float:
    return (row.error or 0.0) / row.allowed if row.allowed else float(bool(row.error))


def _numbers(row: Row) -> str:
    return "" if row.error is None else f" (off by {row.error:.2e}, allowed {row.allowed:.2e})"


def report(rows: Sequence[Row]) -> dict[str, object]:
    """Return everything as plain data."""
    return {
        "passed": all(row.passed for row in rows),
        "machine": f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, float32, CPU",
        "outputs": [
            {"case": r.case, "output": r.output, "error": r.error, "allowed": r.allowed, "problem": r.problem}
            for r in rows
        ],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m uva_core.official.parity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cases", type=Path, help="a case, or a folder of cases")
    parser.add_argument("--out", type=Path, help="JSON file to write with every output's error")
    parser.add_argument("--verbose", action="store_true", help="list every output, not only the worst of a group")
    args = parser.parse_args(arguments)
    try:
        folders = find_cases(args.cases)
    except FileNotFoundError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    rows = [row for folder in folders for row in run(folder)]
    if args.verbose:
        for row in rows:
            print(f"{row.case:20} {row.output:50} {row.problem or 'ok'}{_numbers(row)}")
    print(table(rows))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report(rows), indent=1) + "\n")
        print(f"wrote {args.out}")
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
