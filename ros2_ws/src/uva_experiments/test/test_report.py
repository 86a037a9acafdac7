# SPDX-License-Identifier: Apache-2.0
"""Results are written with machine and date, as JSON that every reader accepts."""

import json
import math

from uva_experiments.report import machine, write_results


def test_results_carry_their_setup_and_no_nan(tmp_path):
    path = tmp_path / "new" / "results.json"
    write_results(path, {"runs": [{"error_cm": math.nan}, (1.5, math.inf)]}, {"seeds": [1, 2]})
    written = json.loads(path.read_text())
    assert written["runs"] == [{"error_cm": None}, [1.5, None]]
    setup = written["setup"]
    assert (setup["seeds"], setup["machine"]) == ([1, 2], machine())
    assert setup["date"].endswith("+00:00")
