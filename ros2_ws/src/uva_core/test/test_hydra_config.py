# SPDX-License-Identifier: Apache-2.0
"""The hydra configuration of an official checkpoint: references followed, nothing evaluated, never without end."""

import pathlib
import pickle

import dill
import pytest
import torch
from omegaconf import OmegaConf

from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.official.importing.hydra_config import HydraConfig
from uva_core.official.importing.objects import Record
from uva_core.official.importing.torch_file import TorchFile


@pytest.mark.parametrize("module", [pickle, dill])
def test_a_configuration_is_read_with_its_references(tmp_path, module):
    path = tmp_path / "x.ckpt"
    config = OmegaConf.create(
        {
            "task": {"shape_meta": {"action": {"shape": [2]}, "fps": "${rate}"}, "root": "???", "list": [1, "a", None]},
            "model": {"shape_meta": "${task.shape_meta}", "latency": "${eval:'1 + 1'}", "first": "${task.list.0}"},
            "rate": 10,
            "circle": "${turn}",
            "turn": "${circle}",
        }
    )
    assert config.model.shape_meta.fps == 10
    torch.save({"cfg": config, "where": pathlib.PurePosixPath("a/b")}, path, pickle_module=module)
    read = HydraConfig(TorchFile(path).payload["cfg"])
    assert read.get("model.shape_meta") == {"action": {"shape": [2]}, "fps": 10}
    assert read.get("model.shape_meta.action.shape.0") == 2
    assert read.get("model.first") == 1
    assert read.get("model.latency") == "${eval:'1 + 1'}"  # never evaluated
    assert read.get("task.root", "unset") == "unset"
    assert read.get("task.nothing.there", 5) == 5
    with pytest.raises(CheckpointError, match="circle"):
        read.get("circle")


def test_a_configuration_that_unfolds_without_end_is_refused():
    layers = {f"a{i}": [f"${{a{i + 1}}}"] * 10 for i in range(30)}
    with pytest.raises(CheckpointError, match="beyond reason"):
        HydraConfig({**layers, "a30": 1}).get("a0")


def test_text_that_unfolds_without_end_is_refused():
    text = "x" * 100_000
    with pytest.raises(CheckpointError, match="unfolds to more than 1000000 characters"):
        HydraConfig({"a": [text] * 80_000})
    with pytest.raises(CheckpointError, match="unfolds to more than 1000000 characters"):
        HydraConfig({"a": Record("pathlib.PosixPath", (text,) * 80_000)})


def test_a_path_is_made_of_text_only():
    nested = ("x",)
    for _ in range(40):
        nested = (nested, nested)  # as text 4 TB
    tree = HydraConfig({"a": Record("pathlib.PosixPath", ("out", nested, "x.ckpt"))}).tree
    assert tree == {"a": "out/x.ckpt"}


def test_an_index_of_thousands_of_digits_is_no_value():
    with pytest.raises((CheckpointError, ValueError), match="digits"):
        HydraConfig({"a": [1], "b": "${a." + "9" * 5000 + "}"}).get("b")
