# SPDX-License-Identifier: Apache-2.0
"""Read a pickle as data. Nothing is imported, looked up or called: a name in the file stays a name.

A pickle is a program for a small stack machine. This is such a machine without the dangerous half: the few callables
of tensors and containers are rebuilt by functions of `objects`, objects of known harmless packages become a `Record`,
and everything else is refused. A program is bounded: in its bytes, in its instructions, and in what it copies, which
may not exceed what it has read.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Sized
from typing import Any, BinaryIO

from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.official.importing.objects import (
    BUILDERS,
    Global,
    Record,
    RefusedError,
    checked_dict,
    checked_keys,
    is_known,
    is_record,
)

MAX_BYTES = 2**26  # of one pickle; checkpoints have less than 1 MB beside their tensors
MAX_INSTRUCTIONS = 1_000_000  # checkpoints have less than 200,000
MAX_NAME = 200  # characters of a module and its member
MAX_INTEGER_BITS = 512
COPY_FACTOR, COPY_START, MAX_COPIED = (
    2,
    10_000,
    2**24,
)  # items and characters: for each byte read, from the start, in all
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


def unpickle(stream: BinaryIO, load_persistent: Callable[[Any], Any]) -> Any:
    """Read one pickle from `stream`, which is left behind its end.

    Args:
        stream: what to read, at most `MAX_BYTES` of it.
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
        self.position = self.copied = 0

    def run(self, stream: BinaryIO) -> Any:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(stream)):
            name = opcode.name
            if count == MAX_INSTRUCTIONS:
                raise RefusedError(f"it has more than {MAX_INSTRUCTIONS} pickle instructions")
            if isinstance(argument, int) and argument.bit_length() > MAX_INTEGER_BITS:
                raise RefusedError(f"it has an integer of {argument.bit_length()} bits, which no checkpoint needs")
            self.position = position or 0
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
                self.stack.append(checked_dict(_pairs(items)))
            case "FROZENSET":
                items = self.pop_mark()
                self.stack.append(frozenset(checked_keys(items)))
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
        if len(module) + len(member) > MAX_NAME:
            raise RefusedError(f"it asks for a name of {len(module) + len(member)} characters")
        name = f"{PYTHON_2_MODULES.get(module, module)}.{member}"
        if "." not in member and is_known(name):
            return Global(name)
        raise RefusedError(f"it asks for {name}, which is no part of a checkpoint")

    def call(self, called: Any, arguments: Any) -> Any:
        if not isinstance(called, Global) or not isinstance(arguments, tuple):
            raise RefusedError(f"it calls {_described(called)} in a way that no checkpoint needs")
        if called.name in BUILDERS:
            self.copied += sum(len(argument) for argument in arguments if isinstance(argument, Sized))
            if self.copied > min(COPY_START + COPY_FACTOR * self.position, MAX_COPIED):
                raise RefusedError("it copies more than it holds, which no checkpoint needs")
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
            target.update(checked_keys(items))
        else:
            raise RefusedError(f"it adds items to something of type {type(target).__name__}")

    def set_items(self, target: Any, pairs: list[tuple[Any, Any]]) -> None:
        if isinstance(target, Record):
            target.items.extend(pairs)
        elif isinstance(target, dict):
            target.update(checked_dict(pairs))
        else:
            raise RefusedError(f"it sets items of something of type {type(target).__name__}")


def _described(value: Any) -> str:
    return value.name if isinstance(value, Global) else f"something of type {type(value).__name__}"


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(items[::2], items[1::2], strict=True))
