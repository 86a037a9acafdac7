# SPDX-License-Identifier: Apache-2.0
"""A pickle is read as data: what tries more than that is refused, and none takes more memory or time than its size."""

import io
import pickle
import re
import resource
import struct

import pytest

from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.official.importing.objects import RefusedError
from uva_core.official.importing.unpickle import MAX_INSTRUCTIONS, unpickle


def read(program: bytes):
    """Read a pickle that needs nothing from outside."""

    def no_storage(description):
        raise RefusedError(f"it describes a storage {description}")

    return unpickle(io.BytesIO(program), no_storage)


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
        (b"}\x8a\x08" + b"\xff" * 7 + b"\x7fNs", "huge integers"),
        (b"\x8a\x41" + b"\x7f" * 65, "an integer of"),
        (text("typing") + text("A" * 300) + b"\x93", "a name of 306 characters"),
        (b"cdill._dill\n_create_function\n", "dill._dill._create_function"),
        (b"cfunctools\npartial\n", "functools.partial"),
        (b"ccopyreg\n_reconstructor\n", "copyreg._reconstructor"),
        (b"cunified_video_action.workspace\nWorkspace\n", "unified_video_action.workspace.Workspace"),
    ],
)
def test_tricks_of_the_stack_machine_are_refused(program, named):
    with pytest.raises(RefusedError, match=re.escape(named)):
        read(PROTO + program + b".")


TEXT = text("x" * 1_000_000) + b"q\x00"  # memoised as 0
LIST = b"]q\x00(" + b"N" * 300_000 + b"e"  # memoised as 0


@pytest.mark.parametrize(
    "program",
    [
        TEXT + b"0c_codecs\nencode\nq\x010(" + (b"h\x01h\x00" + text("latin1") + b"\x86R") * 5000 + b"l",
        LIST + b"0ctorch\nSize\nq\x010(" + b"h\x01h\x00\x85R" * 5000 + b"l",
        LIST + b"0c__builtin__\nfrozenset\nq\x010(" + b"h\x01h\x00\x85R" * 5000 + b"l",
        TEXT + b"0cdill._dill\n_load_type\nq\x010(" + b"h\x01h\x00\x85R" * 5000 + b"l",
    ],
    ids=["encode", "Size", "frozenset", "type"],
)
def test_what_a_pickle_copies_is_bounded_by_its_size(program):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RefusedError, match="copies more than it holds"):
        read(PROTO + program + b".")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_a_pickle_has_a_limited_number_of_instructions():
    with pytest.raises(RefusedError, match="more than 1000000 pickle instructions"):
        read(PROTO + b"(" + b"}" * MAX_INSTRUCTIONS + b"l.")


def test_what_checkpoints_hold_is_within_the_limits():
    saved = {f"block.{i}": {"step": i, "name": b"x" * (i % 300), "size": {i}} for i in range(20_000)}
    assert read(pickle.dumps(saved, 2)) == saved


def test_a_pickle_that_ends_early_is_damaged():
    with pytest.raises(CheckpointError, match="damaged"):
        read(b"\x80\x02")
