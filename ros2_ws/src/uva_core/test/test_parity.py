# SPDX-License-Identifier: Apache-2.0
"""The network, the autoencoder and everything around them compute the same function as the official implementation."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from uva_core.modes import MaskMode
from uva_core.official.parity import __main__ as command
from uva_core.official.parity import losses
from uva_core.official.parity.case import Case
from uva_core.official.parity.network import NetworkCase, RecordedMode

FOLDER = Path(__file__).parent / "golden"


@pytest.mark.parametrize("folder", command.find_cases(FOLDER), ids=lambda folder: folder.name)
def test_everything_that_a_case_records_is_computed_and_equal(folder):
    rows = command.run(folder)
    assert rows
    assert not [row for row in rows if not row.passed], command.table(rows)


@pytest.fixture
def spoilt(tmp_path) -> Path:
    """A copy of the smallest case, to change."""
    shutil.copytree(FOLDER / "G_tables", tmp_path / "G_tables")
    return tmp_path / "G_tables"


def test_a_difference_is_found(spoilt, capsys):
    tensors = load_file(spoilt / "tensors.safetensors")
    tensors["smooth/out"][0, 3, 2] += 1e-3
    save_file(tensors, spoilt / "tensors.safetensors")
    assert command.main([str(spoilt)]) == 1
    assert "smooth/out: too far off (off by 1.00e-03, allowed 1.00e-05)" in capsys.readouterr().out


def test_an_output_that_nothing_computes_is_no_success(spoilt, tmp_path, capsys):
    case = json.loads((spoilt / "case.json").read_text())
    case["outputs"].append("smooth/in")
    (spoilt / "case.json").write_text(json.dumps(case))
    assert command.main([str(tmp_path), "--out", str(tmp_path / "parity.json")]) == 1
    assert "smooth/in: unchecked" in capsys.readouterr().out
    report = json.loads((tmp_path / "parity.json").read_text())
    assert not report["passed"]
    assert {"case": "G_tables", "output": "smooth/in", "error": None} in [
        {key: row[key] for key in ("case", "output", "error")} for row in report["outputs"] if row["problem"]
    ]


def test_a_case_that_cannot_be_run_is_reported_and_the_others_go_on(spoilt, tmp_path, capsys):
    shutil.copytree(FOLDER / "H_policy_pusht", tmp_path / "H_policy_pusht")  # without the weights beside it
    assert command.main([str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "H_policy_pusht (error): FileNotFoundError" in printed
    assert "G_tables" in printed


def test_a_folder_without_cases_is_refused_in_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main([str(tmp_path)])
    assert stop.value.code == 2
    assert f"no case.json in {tmp_path}" in capsys.readouterr().err


@torch.no_grad()
def test_past_actions_that_are_not_given_are_a_case_of_their_own(tmp_path):
    network = NetworkCase(Case(FOLDER / "D_libero10"))
    inputs = network.inputs(RecordedMode(MaskMode.POLICY))
    hidden = torch.ones(inputs.past_actions.shape[:2], dtype=torch.bool)
    expected = network.probe(network.model(replace(inputs, past_actions_missing=hidden)))

    shutil.copytree(FOLDER / "D_libero10", tmp_path / "D")
    name = "policy_model_no_history/z_probe"
    tensors = load_file(tmp_path / "D" / "tensors.safetensors") | {name: expected.contiguous()}
    save_file(tensors, tmp_path / "D" / "tensors.safetensors")
    case = json.loads((tmp_path / "D" / "case.json").read_text())
    case["outputs"] = [name]
    (tmp_path / "D" / "case.json").write_text(json.dumps(case))
    (row,) = command.run(tmp_path / "D")
    assert (row.output, row.problem) == (name, "")
    assert not torch.equal(expected, tensors["policy_model/z_probe"])


def test_the_losses_of_the_cameras_add_up_to_that_of_video():
    case = Case(FOLDER / "C_toolhang")
    found = dict(losses.results(NetworkCase(case)))
    for mode in ("video_model", "full_dynamic_model"):
        parts = [found[f"train/{mode}/{camera}_head_loss"] for camera in ("video", "wrist")]
        assert all(part > 0 for part in parts)
        torch.testing.assert_close(sum(parts), case[f"train/{mode}/video_loss"], atol=1e-5, rtol=0)
    assert found["train/policy_model/video_head_loss"] == 0
