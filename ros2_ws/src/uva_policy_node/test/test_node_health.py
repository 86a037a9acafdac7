# SPDX-License-Identifier: Apache-2.0
"""What diagnostics say while the node works, and when inferences fail."""

from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from uva_core.policy.policy import UvaPolicy

pytestmark = pytest.mark.system


def test_latencies_by_stage_are_in_diagnostics(make_rig):
    rig = make_rig()
    rig.wait(lambda: len(rig.received["chunk"]) >= 3)

    def keys() -> set[str]:
        return {kv.key for array in rig.received["diagnostics"][-1:] for s in array.status for kv in s.values}

    wanted = {f"{s}_ms_p50" for s in ("observation", "tokenizer", "transformer", "action_head", "inference")}
    rig.wait(lambda: wanted <= keys())


def test_inferences_that_fail_are_reported(make_rig, monkeypatch):
    rig = make_rig(observation_timeout_s=0.3)
    rig.wait(lambda: rig.received["chunk"])

    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(UvaPolicy, "predict_actions", fail)
    rig.wait_for_status(DiagnosticStatus.ERROR, "inference failed: RuntimeError: out of memory")
    assert float(rig.value("chunk_rate_hz") or 0) == 0
