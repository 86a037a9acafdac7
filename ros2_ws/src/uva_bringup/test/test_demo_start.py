# SPDX-License-Identifier: Apache-2.0
"""What the demo does before it starts anything."""

import socket

import pytest

from uva_bringup.demo import domain
from uva_bringup.demo.__main__ import OUTPUTS, main, prepare_output


def test_domain_in_use_is_not_taken(monkeypatch):
    monkeypatch.setattr(domain, "_DOMAINS", range(97, 99))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(("", 7400 + 250 * 97 + 10))
        assert domain.free_domain_id() == 98


def test_no_free_domain_is_an_error(monkeypatch):
    monkeypatch.setattr(domain, "_is_free", lambda port: False)
    with pytest.raises(domain.NoFreeDomainError, match="all ROS domains from 1 to 101 are in use"):
        domain.free_domain_id()


def test_output_folder_loses_what_a_demo_wrote_and_keeps_the_rest(tmp_path):
    for name in OUTPUTS:
        (tmp_path / name).mkdir() if "." not in name else (tmp_path / name).touch()
    (tmp_path / "bag" / "old.mcap").touch()
    (tmp_path / "notes.txt").touch()
    prepare_output(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "notes.txt"]


def test_a_wrong_model_ends_in_one_line_and_costs_no_results(tmp_path, capsys):
    summary = tmp_path / "summary.json"
    summary.write_text("{}")
    assert main(["--model", str(tmp_path / "nope.safetensors"), "--out", str(tmp_path)]) == 1
    assert "nope.safetensors: no such file" in capsys.readouterr().err
    assert summary.exists()


def test_help_teaches(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    for word in ("--seeds", "20004", "camera.mp4", "exit code", "examples:"):
        assert word in shown


@pytest.mark.parametrize(
    "arguments",
    [["--limit-s", "nan"], ["--limit-s", "0"], ["--limit-s", "1e9"], ["--seeds", "7", "-1"], ["--seeds", f"{2**63}"]],
)
def test_numbers_out_of_range_end_in_one_clear_line(capsys, tmp_path, arguments):
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--out", str(tmp_path / "out")])
    reason = capsys.readouterr().err.splitlines()[-1]
    assert arguments[0] in reason
    assert arguments[-1] in reason
    assert not (tmp_path / "out").exists()


def test_missing_model_is_told_before_an_earlier_result_is_removed(capsys, tmp_path):
    (tmp_path / "summary.json").touch()
    assert main(["--model", "nowhere.safetensors", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "[uva_bringup] demo failed: model:=nowhere.safetensors: no such file\n"
    assert (tmp_path / "summary.json").exists()
