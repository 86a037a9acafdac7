# SPDX-License-Identifier: Apache-2.0
"""Foreign files are read as data: what tries more than that is refused, and what is broken is said to be."""

import collections
import functools
import os
import pathlib
import pickle
import random
import struct
import zipfile

import dill
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.official.importing.hydra_config import HydraConfig
from uva_core.official.importing.objects import StoredTensor
from uva_core.official.importing.torch_file import TorchFile


def torch_zip(path, data_pkl: bytes, **entries: bytes):
    """A file as torch.save writes it, around any pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data_pkl)
        for name, content in entries.items():
            archive.writestr(f"archive/data/{name}", content)
    return path


class Calls:
    """Pickles to a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("wrap", ["zip", "legacy", "bare"])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda path: Calls(os.system, f"touch {path}"), "posix.system"),
        (lambda path: Calls(exec, f"open({str(path)!r}, 'w')"), "builtins.exec"),
        (lambda path: Calls(open, str(path), "w"), "open"),
        (lambda path: Calls(pathlib.Path.touch, path), "getattr|pathlib.Path.touch"),
        (lambda path: Calls(eval, f"__import__('pathlib').Path({str(path)!r}).touch()"), "builtins.eval"),
    ],
)
def test_a_file_that_calls_something_is_refused_and_named(tmp_path, call, named, protocol, wrap):
    owned = tmp_path / "owned"
    hostile = pickle.dumps({"state_dicts": {}, "cfg": call(owned)}, protocol)
    pickle.loads(hostile)
    owned.unlink()  # it is hostile indeed
    path = tmp_path / "hostile.ckpt"
    if wrap == "zip":
        torch_zip(path, hostile)
    elif wrap == "legacy":
        magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
        path.write_bytes(magic + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2) + hostile)
    else:
        path.write_bytes(hostile)
    with pytest.raises(CheckpointError, match=rf"hostile.ckpt is refused: .*({named}).* \(nothing of it was run\)$"):
        TorchFile(path)
    assert not owned.exists()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


PROTO, TOUCH = b"\x80\x04", text("touch owned") + b"\x85"


@pytest.mark.parametrize(
    ("program", "named"),
    [
        (b"cos\nsystem\n", "os.system"),  # named and not called
        (text("os") + text("system") + b"\x93" + TOUCH + b"R", "os.system"),
        (text("pathlib") + text("os.system") + b"\x93" + TOUCH + b"R", "pathlib.os.system"),
        (text("omegaconf.base") + text("sys.modules") + b"\x93", "omegaconf.base.sys.modules"),
        (text("torch._utils") + text("_rebuild_tensor_v2.__globals__") + b"\x93", "__globals__"),
        (b"ctyping\nsys\n", "typing.sys"),
        (b"(" + text("touch owned") + b"ios\nsystem\n", "INST"),
        (b"(c__builtin__\nlist\n" + text("x") + b"o", "OBJ"),
        (b"\x82\x01", "EXT1"),
        (b"Pfile\n", "PERSID"),
        (b"c__builtin__\ndict\nq\x00" + b"0h\x00)R", "calls builtins.dict"),  # out of the memo
        (b"ctorch\nFloatStorage\n)\x81", "calls torch.FloatStorage"),
        (text("os.system") + TOUCH + b"R", "something of type str"),
        (b"ctyping\nAny\n)R)R", "something of type Record"),
        (b"ccollections\nOrderedDict\n}b", "changes collections.OrderedDict"),
        (
            b"ctorch._utils\n_rebuild_tensor_v2\n}" + text("__code__") + b"NsbR",
            "changes torch._utils._rebuild_tensor_v2",
        ),
        (b"ctorch\nfloat32\n" + text("x") + b"Ns", "sets items of something of type Global"),
        (b"]}b", "changes something of type list"),
        (b"c_operator\ngetitem\n}" + text("x") + b"\x86R", "looks up an item"),
        (b"}" + b")" + b"\x85" * 20_000 + b"Ns", "keys"),
        (text("storage") + b"\x85Q", "storage"),
        (b"cdill._dill\n_create_function\n", "dill._dill._create_function"),
        (b"cfunctools\npartial\n", "functools.partial"),
        (b"ccopyreg\n_reconstructor\n", "copyreg._reconstructor"),
        (b"cunified_video_action.workspace\nWorkspace\n", "unified_video_action.workspace.Workspace"),
    ],
)
def test_tricks_of_the_stack_machine_are_refused(tmp_path, program, named):
    with pytest.raises(CheckpointError, match="refused") as error:
        TorchFile(torch_zip(tmp_path / "x.ckpt", PROTO + program + b"."))
    assert named in str(error.value)


def test_a_function_pickled_by_dill_is_refused(tmp_path):
    path = tmp_path / "x.ckpt"
    torch.save({"cfg": {}, "pickles": {"hook": lambda: os.sep}}, path, pickle_module=dill)
    with pytest.raises(CheckpointError, match=r"refused: it asks for dill\._dill\._create_function"):
        TorchFile(path)
    torch.save({"f": functools.partial(print, "x")}, path, pickle_module=dill)
    with pytest.raises(CheckpointError, match="refused"):
        TorchFile(path)


def saved_tensor(shape, strides, offset=0, size=4, kind="FloatStorage", key="0"):
    """A pickled tensor with any geometry, over a storage of 4 numbers."""

    def numbers(*values):
        return b"".join(f"I{value}\n".encode() for value in values)

    storage = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + numbers(size) + b"tQ"
    geometry = numbers(offset) + b"(" + numbers(*shape) + b"t(" + numbers(*strides) + b"t"
    arguments = b"(" + storage + geometry + b"I00\n}t"
    return PROTO + b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R."


@pytest.mark.parametrize(
    "geometry",
    [
        {"shape": (5,), "strides": (1,)},
        {"shape": (2, 2), "strides": (4, 1)},
        {"shape": (2,), "strides": (1,), "offset": 3},
        {"shape": (10**9, 10**9), "strides": (0, 0)},  # would take 4 EB
        {"shape": (8,), "strides": (1,), "size": 8},  # more than the file holds
        {"shape": (1,), "strides": (1,), "key": "1"},
        {"shape": (4,), "strides": (1,), "kind": "DoubleStorage"},
    ],
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path, geometry):
    file = TorchFile(torch_zip(tmp_path / "x.ckpt", saved_tensor(**geometry), **{"0": bytes(16)}))
    with pytest.raises(CheckpointError, match="outside its storage"):
        file.tensor(file.payload)


@pytest.mark.parametrize("geometry", [{"shape": (2,), "strides": (-1,)}, {"shape": (2,), "strides": ()}])
def test_an_impossible_tensor_is_damage(tmp_path, geometry):
    with pytest.raises(CheckpointError, match="damaged"):
        TorchFile(torch_zip(tmp_path / "x.ckpt", saved_tensor(**geometry), **{"0": bytes(16)}))


def everything():
    base = torch.arange(24.0).reshape(4, 6)
    return {
        "plain": base,
        "view": base[1:3, ::2],
        "transposed": base.T,
        "parameter": torch.nn.Parameter(base[0]),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        **{str(kind): torch.ones(3).to(kind) for kind in (torch.float16, torch.bfloat16, torch.float64)},
        **{str(kind): torch.ones(3).to(kind) for kind in (torch.int64, torch.int8, torch.uint8, torch.bool)},
    }


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("module", [pickle, dill])
def test_tensors_come_as_torch_loads_them(tmp_path, module, legacy):
    path = tmp_path / "x.pth"
    saved = {"tensors": everything(), "module": torch.nn.Linear(3, 2).state_dict(), "bytes": b"\xff", "empty": b""}
    torch.save(saved, path, pickle_module=module, _use_new_zipfile_serialization=not legacy)
    file = TorchFile(path)
    loaded = torch.load(path, weights_only=False)
    assert file.payload["bytes"] == b"\xff"
    for group in ("tensors", "module"):
        assert file.payload[group].keys() == loaded[group].keys()
        for name, tensor in loaded[group].items():
            ours = file.tensor(file.payload[group][name])
            assert ours.dtype == tensor.dtype
            assert torch.equal(ours, tensor), name


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


def test_what_trainers_leave_beside_the_weights_does_no_harm(tmp_path):
    import argparse

    import numpy as np

    path = tmp_path / "x.pth"
    args = argparse.Namespace(
        output_dir=pathlib.Path("out"), lr=1e-4, device=torch.device("cuda:0"), size=torch.Size([2])
    )
    scheduler = {"last": np.float64(0.1), "table": np.arange(3), "kinds": {1, 2}, "dtype": torch.float32}
    counts = collections.defaultdict(list, a=[1])
    torch.save({"args": args, "scheduler": scheduler, "counts": counts}, path)
    payload = TorchFile(path).payload
    assert payload["args"].name == "argparse.Namespace"
    assert payload["args"].state["lr"] == 1e-4
    assert payload["counts"] == {"a": [1]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        (b'{"weights": 1}', "JSON"),
        (b"weights, honestly", "not written by torch.save"),
        (pickle.dumps([1, 2]), "a pickle, but not one from torch.save"),
        (b"\x80\x02", "damaged"),
    ],
)
def test_another_kind_of_file_is_named(tmp_path, content, said):
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"x.ckpt.*{said}") as error:
        TorchFile(path)
    assert "\n" not in str(error.value)


def test_other_archives_and_formats_are_named(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(CheckpointError, match="no file at"):
        TorchFile(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        TorchFile(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match="zip archive, but not one from torch.save"):
        TorchFile(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    with pytest.raises(CheckpointError, match="compressed"):
        TorchFile(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="safetensors file"):
        TorchFile(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_truncated_file_says_so(tmp_path, legacy):
    path = tmp_path / "x.ckpt"
    torch.save({"model": everything()}, path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    for length in (20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="damaged"):
            TorchFile(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_random_damage_never_ends_in_anything_but_a_clear_error(tmp_path, legacy):
    path = tmp_path / "x.ckpt"
    saved = {"model": everything(), "cfg": OmegaConf.create({"a": [1, {"b": "${a}"}]})}
    torch.save(saved, path, _use_new_zipfile_serialization=not legacy)
    whole, rng = path.read_bytes(), random.Random(0)
    errors = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(min(len(whole), 3000))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            file = TorchFile(path)
            payload = file.payload if isinstance(file.payload, dict) else {}
            tensors = payload.get("model")
            for stored in tensors.values() if isinstance(tensors, dict) else []:
                if isinstance(stored, StoredTensor):
                    file.tensor(stored)
            HydraConfig(payload.get("cfg")).get("a")
        except CheckpointError as error:
            errors += 1
            assert "\n" not in str(error)
    assert errors > 15
