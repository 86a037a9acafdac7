# SPDX-License-Identifier: Apache-2.0
"""A file that calls something when it is unpickled is refused with the name of what it calls, and nothing is run."""

import functools
import os
import pathlib
import pickle
import zipfile

import dill
import pytest
import torch

from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.official.importing.torch_file import TorchFile


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
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", hostile)
    elif wrap == "legacy":
        magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
        path.write_bytes(magic + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2) + hostile)
    else:
        path.write_bytes(hostile)
    with pytest.raises(CheckpointError, match=rf"hostile.ckpt is refused: .*({named}).* \(nothing of it was run\)$"):
        TorchFile(path)
    assert not owned.exists()


def test_a_function_pickled_by_dill_is_refused(tmp_path):
    path = tmp_path / "x.ckpt"
    torch.save({"cfg": {}, "pickles": {"hook": lambda: os.sep}}, path, pickle_module=dill)
    with pytest.raises(CheckpointError, match=r"refused: it asks for dill\._dill\._create_function"):
        TorchFile(path)
    torch.save({"f": functools.partial(print, "x")}, path, pickle_module=dill)
    with pytest.raises(CheckpointError, match="refused"):
        TorchFile(path)
