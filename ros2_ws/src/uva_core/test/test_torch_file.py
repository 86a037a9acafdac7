# SPDX-License-Identifier: Apache-2.0
"""Files of torch.save: tensors come as torch loads them, and what is broken is said to be."""

import argparse
import collections
import os
import pathlib
import pickle
import random
import struct
import zipfile

import dill
import numpy as np
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


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def saved_tensor(shape, strides, offset=0, size=4, kind="FloatStorage", key="0"):
    """A pickled tensor with any geometry, over a storage of 4 numbers."""

    def numbers(*values):
        return b"".join(f"I{value}\n".encode() for value in values)

    storage = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + numbers(size) + b"tQ"
    geometry = numbers(offset) + b"(" + numbers(*shape) + b"t(" + numbers(*strides) + b"t"
    arguments = b"(" + storage + geometry + b"I00\n}t"
    return b"\x80\x04" + b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R."


@pytest.mark.parametrize(
    "geometry",
    [
        {"shape": (5,), "strides": (1,)},
        {"shape": (2, 2), "strides": (4, 1)},
        {"shape": (2,), "strides": (1,), "offset": 3},
        {"shape": (8,), "strides": (1,), "size": 8},  # more than the file holds
        {"shape": (1,), "strides": (1,), "key": "1"},
        {"shape": (4,), "strides": (1,), "kind": "DoubleStorage"},
    ],
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path, geometry):
    file = TorchFile(torch_zip(tmp_path / "x.ckpt", saved_tensor(**geometry), **{"0": bytes(16)}))
    with pytest.raises(CheckpointError, match="outside its storage"):
        file.tensor(file.payload)


@pytest.mark.parametrize(
    "geometry",
    [
        {"shape": (2,), "strides": (-1,)},
        {"shape": (2,), "strides": ()},
        {"shape": (10**9, 10**9), "strides": (0, 0)},  # would take 4 EB
        {"shape": (2**32, 2**32), "strides": (0, 0)},  # the product wraps to 0
        {"shape": (0, 2**62, 2**62), "strides": (0, 0, 0)},
        {"shape": (2,), "strides": (2**63,)},
        {"shape": (1,) * 20, "strides": (1,) * 20},
    ],
)
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


def test_what_trainers_leave_beside_the_weights_does_no_harm(tmp_path):
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
    with pytest.raises(CheckpointError, match="is no regular file"):
        TorchFile(tmp_path)
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for a writer
    with pytest.raises(CheckpointError, match="is no regular file"):
        TorchFile(tmp_path / "pipe")
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


@pytest.mark.parametrize(
    "arguments",
    [
        text("cpu") + b"K\x00K\x01\x85K\x01\x85",  # text instead of a storage
        b"NK\x00K\x01\x85K\x01\x85",
        text("cpu") + b"K\x00" + text("11") + text("11"),
    ],
)
def test_a_tensor_without_a_storage_or_a_shape_is_damage(tmp_path, arguments):
    program = b"\x80\x04ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR."
    with pytest.raises(CheckpointError, match="damaged pickle .a tensor without a storage or a shape"):
        TorchFile(torch_zip(tmp_path / "x.ckpt", program))


def own_bytes() -> int:
    """Memory that this process holds beside mapped files."""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))


def test_a_storage_that_cannot_be_mapped_is_copied_once(tmp_path):
    storage = torch.zeros(1_000_000)
    for name in ("x", "xx", "xxx", "xxxx"):  # three of them move the numbers to where they cannot be mapped
        torch.save([name, [storage[i:] for i in range(1000)]], tmp_path / name, _use_new_zipfile_serialization=False)
        file = TorchFile(tmp_path / name)
        before = own_bytes()
        tensors = [file.tensor(stored) for stored in file.payload[1]]
        assert len(tensors) == 1000
        assert own_bytes() - before < 5 * storage.nbytes


def test_entries_that_overlap_are_refused(tmp_path):
    path = torch_zip(tmp_path / "x.ckpt", saved_tensor((4,), (1,)), **{"0": bytes(1000), "1": bytes(1000)})
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    first = content.index(b"archive/data/0", directory) - 46
    for size in (20, 24):  # compressed and not: the first entry reaches over the second
        content[first + size : first + size + 4] = struct.pack("<I", 2000)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="its entries overlap"):
        TorchFile(path)


def test_a_description_larger_than_that_of_any_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="its data.pkl has 67108865 bytes"):
        TorchFile(torch_zip(tmp_path / "x.ckpt", bytes(2**26 + 1)))
