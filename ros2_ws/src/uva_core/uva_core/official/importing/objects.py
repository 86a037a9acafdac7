# SPDX-License-Identifier: Apache-2.0
"""What may stand in the pickle of a checkpoint, and what is kept of it as data.

Which names are known is a question of recognising a checkpoint, not of safety: whatever the file says, no code of the
file and no code that it names is run (see `unpickle`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from uva_core.checkpoint.safetensors_file import CheckpointError

MAX_DIMENSIONS = 16  # of a tensor
MAX_NUMBER = 2**40  # of a tensor's elements, and of its offset and strides
MAX_KEY_BITS = 60  # longer integers can be chosen to hash alike, which makes a dict slow


class RefusedError(CheckpointError):
    """A pickle that asks for more than the data of a checkpoint."""


@dataclass(frozen=True)
class Global:
    """A name of a module's member, as it stands in the file."""

    name: str


@dataclass(eq=False, repr=False)
class Record:
    """An object of the file, kept as data: its class's name, its arguments, its state and its contents."""

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<{self.name}>"


@dataclass(frozen=True)
class Storage:
    """Numbers in the file: `size` elements of `dtype` under the name `key`."""

    key: str
    dtype: torch.dtype
    size: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that has not been read: where it lies in which storage (offset and strides in elements)."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def stored_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> StoredTensor:
    """Describe a tensor.

    Raises:
        ValueError: it has no storage, or another shape than a tensor can have.
    """
    if not (isinstance(storage, Storage) and type(shape) is type(strides) is tuple):
        raise ValueError("a tensor without a storage or a shape")
    numbers = (offset, *shape, *strides) if len(shape) == len(strides) <= MAX_DIMENSIONS else (None,)
    if (
        not all(type(n) is int and 0 <= n < MAX_NUMBER for n in numbers)
        or math.prod(n or 1 for n in shape) > MAX_NUMBER
    ):
        raise ValueError("a tensor's shape, strides or offset are impossible")
    return StoredTensor(storage, offset, shape, strides)


def checked_keys(keys: Iterable[Any]) -> list[Any]:
    """Return keys of a dict or members of a set.

    Raises:
        RefusedError: hashing them could take long or recurse without a limit.
    """
    checked = list(keys)
    for key in checked:
        if not (key is None or isinstance(key, (str, int, float, bytes, Global, Record))):
            raise RefusedError("it has keys or set members that are containers, which no checkpoint needs")
        if isinstance(key, int) and key.bit_length() > MAX_KEY_BITS:
            raise RefusedError("it has keys or set members that are huge integers, which no checkpoint needs")
    return checked


def checked_dict(pairs: Sequence[Any] = ()) -> dict[Any, Any]:
    """Return a dict of (key, value) pairs; raises as `checked_keys`."""
    checked_keys(key for key, _ in pairs)
    return dict(pairs)


def _generic_type(origin: Any, _: Any) -> Record:
    if not (isinstance(origin, Global) and origin.name.startswith("typing.")):
        raise RefusedError("it looks up an item of something that is no type")
    return Record("type", (origin,))


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError("bytes written in an unusual encoding")
    return text.encode("latin1")


def _builtin_type(name: str) -> Global | Record:
    plain = f"builtins.{name.removesuffix('Type').lower()}"  # dill writes "dict" or "DictType"
    return Global(plain) if plain in BUILDERS or PLAIN.fullmatch(plain) else Record("type", (name,))


# What a checkpoint may call, and what is done instead, in time and memory proportional to the arguments' sizes.
BUILDERS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": stored_tensor,
    "torch._utils._rebuild_tensor_v2": stored_tensor,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
    "torch.Size": tuple,
    "collections.OrderedDict": checked_dict,
    "collections.defaultdict": lambda *_: {},
    "builtins.set": lambda members: set(checked_keys(members)),
    "builtins.frozenset": lambda members: frozenset(checked_keys(members)),
    "builtins.bytes": lambda: b"",
    "_codecs.encode": _encode,
    "_operator.getitem": _generic_type,
    "dill._dill._load_type": _builtin_type,
}
# Names that may stand in a checkpoint without being called.
PLAIN = re.compile(
    r"builtins\.(bool|bytes|complex|dict|float|frozenset|int|list|long|object|set|slice|str|tuple|unicode)"
    r"|torch\.(storage\.)?[A-Z]\w*Storage"
    r"|torch\.(float|bfloat|u?int|complex)\d+|torch\.bool"
)
# Objects that become records: classes (by their spelling) of these packages, and a few by name.
RECORD_PACKAGES = {"argparse", "deepspeed", "hydra", "omegaconf", "pathlib", "pytorch_lightning", "typing", "uuid"}
RECORDS = {
    "deepspeed.utils.tensor_fragment.fragment_address",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
    "torch.device",
}
CLASS_NAME = re.compile(r"_?[A-Z]\w*")


def is_record(name: str) -> bool:
    """Tell whether objects of this class or callable are kept as records."""
    module, _, last = name.rpartition(".")
    return name in RECORDS or (module.split(".")[0] in RECORD_PACKAGES and bool(CLASS_NAME.fullmatch(last)))


def is_known(name: str) -> bool:
    """Tell whether this name may stand in a checkpoint."""
    return name in BUILDERS or bool(PLAIN.fullmatch(name)) or is_record(name)
