# SPDX-License-Identifier: Apache-2.0
"""The command that converts and shows: one line for what goes wrong, nothing half written, nothing raw from a file."""

import os
import runpy

import pytest
import torch
from safetensors.torch import save_file

from uva_core.checkpoint import safetensors_file as checkpoint
from uva_core.official.importing.command import main


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        ("", [], "does not tell the attention heads of a width of 64: use --heads"),
        ("task.shape_meta=null", ["--heads", "4"], "does not describe a UVA policy"),
        ("model.policy.action_model_params.act_model_type=lstm", ["--heads", "4"], "unknown act_model_type 'lstm'"),
        ("", ["--heads", "5"], "width 64 is not divisible by 5 heads"),
    ],
)
def test_what_cannot_be_converted_is_one_clear_line(
    tmp_path, small_state, capsys, change, arguments, said, save_official
):
    source = save_official(tmp_path / "in.ckpt", small_state, change)
    assert main(["convert", str(source), str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_weights_that_are_not_finite_are_refused(tmp_path, small_state, capsys, save_official):
    state = small_state | {"model.z_proj_ln.bias": torch.full((64,), torch.nan)}
    assert (
        main(["convert", str(save_official(tmp_path / "in.ckpt", state)), str(tmp_path / "out"), "--heads", "4"]) == 2
    )
    assert "NaN or infinity in 1 tensors (model.input_norm.bias)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_input_is_never_overwritten(tmp_path, small_state, capsys, save_official):
    source = save_official(tmp_path / "in.ckpt", small_state)
    before = source.stat()
    assert main(["convert", str(source), str(source), "--heads", "4"]) == 2
    assert main(["convert", str(source), str(tmp_path), "--heads", "4"]) == 2
    assert source.stat().st_mtime_ns == before.st_mtime_ns


def test_other_payloads_are_named(tmp_path, capsys):
    torch.save({"weights": {}, "step": 3}, tmp_path / "x.pth")
    assert main(["convert", str(tmp_path / "x.pth"), str(tmp_path / "out")]) == 2
    assert "is no UVA, MAR or kl16 checkpoint (it holds: weights, step)" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_the_command_refuses_a_hostile_file_with_one_line(tmp_path, monkeypatch, capsys):
    class Hostile:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'owned')!r}, 'w')",))

    torch.save({"cfg": Hostile(), "state_dicts": {}}, tmp_path / "in.ckpt")
    monkeypatch.setattr("sys.argv", ["checkpoint", "convert", str(tmp_path / "in.ckpt"), str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_module("uva_core.checkpoint", run_name="__main__")
    error = capsys.readouterr().err
    assert error.endswith(
        "is refused: it asks for builtins.exec, which is no part of a checkpoint (nothing of it was run)\n"
    )
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("o*"))


def test_show_tells_what_is_in_a_file(tmp_path, small_state, tiny_policy, capsys, save_official):
    tiny_policy.save(tmp_path / "ours.safetensors")
    assert main(["show", str(tmp_path / "ours.safetensors")]) == 0
    ours = capsys.readouterr().out
    assert "format: uva_core/1" in ours
    assert "model.fuse.bias (32,)" in ours
    assert main(["show", str(save_official(tmp_path / "in.ckpt", small_state))]) == 0
    theirs = capsys.readouterr().out
    assert "model_size: mar_base" in theirs
    assert "  model.z_proj_ln.bias (64,)" in theirs


FORGED = "x\x1b[2K\rall is well\n\u202e"


def test_names_from_a_file_are_escaped_and_cut(tmp_path, capsys):
    torch.save({FORGED: {FORGED: torch.zeros(1), "y" * 10_000: torch.zeros(2)}}, tmp_path / "in.pth")
    assert main(["show", str(tmp_path / "in.pth")]) == 0
    assert main(["convert", str(tmp_path / "in.pth"), str(tmp_path / "out")]) == 2
    save_file({FORGED: torch.zeros(1)}, tmp_path / "x.safetensors", metadata={"format": FORGED, FORGED: FORGED})
    assert main(["show", str(tmp_path / "x.safetensors")]) == 0
    said = capsys.readouterr()
    for line in (said.out + said.err).splitlines():
        assert line.isprintable()
        assert len(line) < 400
    assert "x\\x1b[2K\\rall is well\\n\\u202e" in said.out


def test_a_list_that_names_one_tensor_very_often_ends(tmp_path, capsys):
    group = {f"t{i}": torch.zeros(1) for i in range(200)}
    torch.save({f"g{i}": group for i in range(1000)}, tmp_path / "in.pth")
    assert main(["show", str(tmp_path / "in.pth")]) == 0
    assert capsys.readouterr().out.endswith("(only the first 20000 lines are shown)\n")


def test_text_that_is_referenced_very_often_is_refused(tmp_path, capsys):
    text = "x" * 300_000
    torch.save({"cfg": {"a": [text] * 80_000}}, tmp_path / "in.pth")
    assert main(["show", str(tmp_path / "in.pth")]) == 2
    assert "unfolds to more than 1000000 characters" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["show", "convert"])
def test_a_pipe_is_refused(tmp_path, capsys, command):
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for a writer
    assert main([command, str(tmp_path / "pipe"), *([str(tmp_path / "out")] if command == "convert" else [])]) == 2
    assert "pipe is no regular file" in capsys.readouterr().err


@pytest.mark.parametrize("config", ["[" * 100_000, '{"a": ' * 990 + "1" + "}" * 990, '{"a": ' + "9" * 5000 + "}", "{"])
def test_show_refuses_a_configuration_that_cannot_be_read(tmp_path, capsys, config):
    save_file({"x": torch.zeros(1)}, tmp_path / "x", metadata={"format": checkpoint.FORMAT, "config": config})
    assert main(["show", str(tmp_path / "x")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_ctrl_c_leaves_nothing_behind(tmp_path, small_state, save_official, capsys, monkeypatch):
    def interrupted(tensors, path, metadata):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    source = save_official(tmp_path / "in.ckpt", small_state)
    monkeypatch.setattr(checkpoint, "save_file", interrupted)
    assert main(["convert", str(source), str(tmp_path / "out"), "--heads", "4"]) == 130
    assert "interrupted, nothing was written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.ckpt"]
