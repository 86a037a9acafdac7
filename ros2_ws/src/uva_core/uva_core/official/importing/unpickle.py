# SPDX-License-Identifier: Apache-2.0
"""Read a pickle as data. Nothing is imported, looked up or called: a name in the file stays a name.

A pickle is a program for a small stack machine. This is such a machine without the dangerous half: the few callables
of tensors and containers are rebuilt by functions of this module, objects of known harmless packages become a
`Record`, and everything else is refused. Which names are known is a question of recognising a checkpoint, not of
safety: whatever the file says, no code of the file and no code that it names is run.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from uva_core.checkpoint.safetensors_file import CheckpointError


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
class StoredTensor:
    """A tensor that has not been read: where it lies in which storage (offset and strides in elements)."""

    storage: Any
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _stored_tensor(storage: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> Any:
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("a tensor's shape or strides are not whole numbers")
    return StoredTensor(storage, offset, tuple(shape), tuple(strides))


def _checked_keys(keys: Iterable[Any]) -> list[Any]:
    # Hashing a tuple of tuples of tuples ... recurses without a limit.
    checked = list(keys)
    if not all(key is None or isinstance(key, (str, int, float, bytes, Global, Record)) for key in checked):
        raise RefusedError("it has keys or set members that are containers, which no checkpoint needs")
    return checked


def _dict(pairs: Sequence[Any] = ()) -> dict[Any, Any]:
    _checked_keys(key for key, _ in pairs)
    return dict(pairs)


def _generic_type(origin: Any, _: Any) -> Record:
    if not (isinstance(origin, Global) and origin.name.startswith("typing.")):
        raise RefusedError("it looks up an item of something that is no type")
    return Record("type", (origin,))


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"bytes written as {encoding}")
    return text.encode("latin1")


def _builtin_type(name: str) -> Global | Record:
    plain = f"builtins.{name.removesuffix('Type').lower()}"  # dill writes "dict" or "DictType"
    return Global(plain) if plain in BUILDERS or PLAIN.fullmatch(plain) else Record("type", (name,))


# What a checkpoint may call, and what is done instead.
BUILDERS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _stored_tensor,
    "torch._utils._rebuild_tensor_v2": _stored_tensor,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
    "torch.Size": tuple,
    "collections.OrderedDict": _dict,
    "collections.defaultdict": lambda *_: {},
    "builtins.set": lambda members: set(_checked_keys(members)),
    "builtins.frozenset": lambda members: frozenset(_checked_keys(members)),
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
PYTHON_2_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}

VALUE_OPCODES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
CONSTANT_OPCODES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY_OPCODES: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
TUPLE_OPCODES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def is_record(name: str) -> bool:
    """Tell whether objects of this class or callable are kept as records."""
    module, _, last = name.rpartition(".")
    return name in RECORDS or (module.split(".")[0] in RECORD_PACKAGES and bool(CLASS_NAME.fullmatch(last)))


def unpickle(stream: BinaryIO, load_persistent: Callable[[Any], Any]) -> Any:
    """Read one pickle from `stream`, which is left behind its end.

    Args:
        stream: what to read.
        load_persistent: turns a persistent id (in torch's files: a description of a storage) into a value.

    Raises:
        RefusedError: it names, calls or changes something that is no part of a checkpoint; the message names it.
        CheckpointError: it is damaged.
    """
    try:
        return _Machine(load_persistent).run(stream)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"damaged pickle ({error})") from None


class _Machine:
    def __init__(self, load_persistent: Callable[[Any], Any]) -> None:
        self.load_persistent = load_persistent
        self.stack: list[Any] = []
        self.below_mark: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: BinaryIO) -> Any:
        for opcode, argument, _ in pickletools.genops(stream):
            name = opcode.name
            if name in VALUE_OPCODES:
                self.stack.append(argument)
            elif name in CONSTANT_OPCODES:
                self.stack.append(CONSTANT_OPCODES[name])
            elif name in EMPTY_OPCODES:
                self.stack.append(EMPTY_OPCODES[name]())
            elif name in TUPLE_OPCODES:
                items = [self.stack.pop() for _ in range(TUPLE_OPCODES[name])]
                self.stack.append(tuple(reversed(items)))
            elif name == "STOP":
                return self.stack.pop()
            else:
                self.step(name, argument)
        raise ValueError("it has no end")

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self.below_mark.append(stack)
                self.stack = []
            case "POP":
                stack.pop()
            case "POP_MARK":
                self.pop_mark()
            case "DUP":
                stack.append(stack[-1])
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "TUPLE":
                items = self.pop_mark()
                self.stack.append(tuple(items))
            case "LIST":
                items = self.pop_mark()
                self.stack.append(items)
            case "DICT":
                items = self.pop_mark()
                self.stack.append(_dict(_pairs(items)))
            case "FROZENSET":
                items = self.pop_mark()
                self.stack.append(frozenset(_checked_keys(items)))
            case "APPEND":
                value = stack.pop()
                self.extend(stack[-1], [value])
            case "APPENDS" | "ADDITEMS":
                items = self.pop_mark()
                self.extend(self.stack[-1], items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self.set_items(stack[-1], [(key, value)])
            case "SETITEMS":
                items = self.pop_mark()
                self.set_items(self.stack[-1], _pairs(items))
            case "GLOBAL":
                stack.append(self.find(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                member, module = stack.pop(), stack.pop()
                stack.append(self.find(module, member))
            case "REDUCE" | "NEWOBJ":
                arguments, called = stack.pop(), stack.pop()
                stack.append(self.call(called, arguments))
            case "BUILD":
                state = stack.pop()
                self.build(stack[-1], state)
            case "BINPERSID":
                stack.append(self.load_persistent(stack.pop()))
            case _:
                raise RefusedError(f"it uses the pickle instruction {name}, which no checkpoint needs")

    def pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below_mark.pop()
        return items

    def find(self, module: Any, member: Any) -> Global:
        if not isinstance(module, str) or not isinstance(member, str):
            raise RefusedError("it asks for something without a name")
        name = f"{PYTHON_2_MODULES.get(module, module)}.{member}"
        if name in BUILDERS or PLAIN.fullmatch(name) or ("." not in member and is_record(name)):
            return Global(name)
        raise RefusedError(f"it asks for {name}, which is no part of a checkpoint")

    def call(self, called: Any, arguments: Any) -> Any:
        if not isinstance(called, Global) or not isinstance(arguments, tuple):
            raise RefusedError(f"it calls {_described(called)} in a way that no checkpoint needs")
        if called.name in BUILDERS:
            return BUILDERS[called.name](*arguments)
        if is_record(called.name):
            return Record(called.name, arguments)
        raise RefusedError(f"it calls {called.name}, which no checkpoint needs to call")

    def build(self, target: Any, state: Any) -> None:
        if isinstance(target, Record):
            target.state = state
        elif not isinstance(target, dict):  # a state dict carries an attribute with versions; nobody needs it
            raise RefusedError(f"it changes {_described(target)}")

    def extend(self, target: Any, items: list[Any]) -> None:
        if isinstance(target, Record):
            target.items.extend(items)
        elif isinstance(target, list):
            target.extend(items)
        elif isinstance(target, set):
            target.update(_checked_keys(items))
        else:
            raise RefusedError(f"it adds items to something of type {type(target).__name__}")

    def set_items(self, target: Any, pairs: list[tuple[Any, Any]]) -> None:
        if isinstance(target, Record):
            target.items.extend(pairs)
        elif isinstance(target, dict):
            target.update(_dict(pairs))
        else:
            raise RefusedError(f"it sets items of something of type {type(target).__name__}")


def _described(value: Any) -> str:
    return value.name if isinstance(value, Global) else f"something of type {type(value).__name__}"


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(items[::2], items[1::2], strict=True))
