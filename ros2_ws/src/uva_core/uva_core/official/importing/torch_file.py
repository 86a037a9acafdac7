# SPDX-License-Identifier: Apache-2.0
"""Files written by `torch.save`: what is in them as data, tensors straight from the mapped file when asked for."""

from __future__ import annotations

import io
import math
import mmap
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from uva_core.checkpoint.safetensors_file import CheckpointError, require_file
from uva_core.official.importing.objects import Global, RefusedError, Storage, StoredTensor
from uva_core.official.importing.unpickle import MAX_BYTES, unpickle

STORAGE_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
LEGACY_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # first object of a file from before torch 1.6
ZIP_LOCAL_HEADER = struct.Struct("<4s22xHH")
NOT_TORCH = (  # how files start that are often taken for a checkpoint
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself (git lfs pull fetches it)"),
    (b"<", "a web page or XML, not a checkpoint (the download gave something else)"),
    (b"{", "JSON, not a checkpoint"),
)


class TorchFile:
    """A file from `torch.save`, mapped into memory for as long as this object or a tensor of it lives.

    Attributes:
        path: of the file.
        size: of the file, in bytes.
        payload: what was saved, with `StoredTensor` for each tensor and `Record` for objects.
    """

    def __init__(self, path: str | Path) -> None:
        """Read everything but the tensors.

        Raises:
            CheckpointError: missing, damaged, not written by `torch.save`, or refused (see `unpickle`).
        """
        self.path = Path(path)
        try:
            require_file(self.path)
            with self.path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # ValueError: an empty file
            raise CheckpointError(f"{path} cannot be read: {error}") from None
        self._places: dict[str, int] = {}  # where the bytes of each storage start
        self._sizes: dict[str, int] = {}  # how many there are
        self._copies: dict[str, bytearray] = {}  # of storages that start where torch cannot map them
        self.size = len(self._map)  # bytes
        try:
            self.payload = self._read()
        except RefusedError as error:
            raise CheckpointError(f"{path} is refused: {error} (nothing of it was run)") from None
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from None

    def tensor(self, stored: StoredTensor) -> Tensor:
        """Return a tensor of the file. It shares the mapped file's memory and must not be written to.

        Raises:
            CheckpointError: it lies outside its storage.
        """
        storage, count = stored.storage, math.prod(stored.shape)
        if count == 0:
            return torch.empty(stored.shape, dtype=storage.dtype)
        used = 1 + stored.offset + sum((n - 1) * s for n, s in zip(stored.shape, stored.strides, strict=True))
        available = min(storage.size, self._sizes.get(storage.key, 0) // storage.dtype.itemsize)
        if used > available or count > available:
            raise CheckpointError(
                f"{self.path}: a tensor of shape {stored.shape} lies outside its storage of {available} numbers"
            )
        return self._numbers(storage, available).as_strided(stored.shape, stored.strides, stored.offset)

    def _numbers(self, storage: Storage, count: int) -> Tensor:
        """Return the first `count` numbers of a storage. One that cannot be mapped is copied, once."""
        place, size = self._places[storage.key], self._sizes[storage.key]
        buffer: mmap.mmap | bytearray = self._map
        if place % storage.dtype.itemsize:  # never in zip files of torch
            buffer = self._copies.get(storage.key) or bytearray(self._map[place : place + size])
            self._copies[storage.key], place = buffer, 0
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given buffer is not writable")
            return torch.frombuffer(buffer, dtype=storage.dtype, count=count, offset=place)

    def _read(self) -> Any:
        start = bytes(self._map[:64])
        if start.startswith(b"PK\x03\x04"):
            return self._read_zip()
        if start.startswith(b"\x80"):
            return self._read_legacy()
        for beginning, what in NOT_TORCH:
            if start.lstrip().startswith(beginning):
                raise CheckpointError(f"this is {what}")
        if start[8:9] == b"{":
            raise CheckpointError("this is a safetensors file, not one from torch.save; nothing needs converting")
        raise CheckpointError("this was not written by torch.save")

    def _read_zip(self) -> Any:
        stream = cast(BinaryIO, self._map)
        try:
            entries = {entry.filename: entry for entry in zipfile.ZipFile(stream).infolist()}
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise CheckpointError(f"the file is damaged or cut off ({error}); download or copy it again") from None
        (pickle_name, *others) = [name for name in entries if name.rpartition("/")[2] == "data.pkl"] or [""]
        if not pickle_name or others:
            raise CheckpointError("this is a zip archive, but not one from torch.save (it has no data.pkl)")
        folder = pickle_name.removesuffix("data.pkl")
        places = {name: self._zip_entry(entry) for name, entry in entries.items() if name.startswith(folder)}
        order_start, order_size = places.get(f"{folder}byteorder", (0, 0))
        if self._map[order_start : order_start + min(order_size, 4)] == b"big":
            raise CheckpointError("its numbers are big-endian; convert it on the machine that wrote it")
        for name, (place, size) in places.items():
            if name.startswith(f"{folder}data/"):
                key = name.removeprefix(f"{folder}data/")
                self._places[key], self._sizes[key] = place, size
        if sum(self._sizes.values()) > self.size:
            raise CheckpointError("its entries overlap, which those of torch.save never do")
        place, size = places[pickle_name]
        if size > MAX_BYTES:
            raise CheckpointError(
                f"its data.pkl has {size} bytes; checkpoints have less than {MAX_BYTES} beside tensors"
            )
        return unpickle(io.BytesIO(self._map[place : place + size]), _storage)

    def _zip_entry(self, entry: zipfile.ZipInfo) -> tuple[int, int]:
        """Return where the bytes of an entry start, and how many there are. torch never compresses them."""
        header = self._map[entry.header_offset : entry.header_offset + ZIP_LOCAL_HEADER.size]
        if len(header) < ZIP_LOCAL_HEADER.size:
            raise CheckpointError(f"the file is damaged or cut off (at {entry.filename})")
        signature, name_length, extra_length = ZIP_LOCAL_HEADER.unpack(header)
        place = entry.header_offset + ZIP_LOCAL_HEADER.size + name_length + extra_length
        if signature != b"PK\x03\x04" or place + entry.file_size > self.size:
            raise CheckpointError(f"the file is damaged or cut off (at {entry.filename})")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise CheckpointError(f"{entry.filename} is compressed or encrypted, which torch.save never does")
        return place, entry.file_size

    def _read_legacy(self) -> Any:
        """Read the format before torch 1.6: pickles (magic number, version, machine, payload, keys), then the numbers.

        For each key there is a count (8 bytes), and as many numbers.
        """
        stream = io.BytesIO(self._map[:MAX_BYTES])
        storages: dict[str, Storage] = {}

        def storage(description: Any) -> Storage:
            found = _storage(description)
            return storages.setdefault(found.key, found)

        if unpickle(stream, storage) != LEGACY_MAGIC_NUMBER:
            raise CheckpointError("this is a pickle, but not one from torch.save")
        unpickle(stream, storage)
        machine = unpickle(stream, storage)
        if not isinstance(machine, dict) or not machine.get("little_endian", True):
            raise CheckpointError("its numbers are big-endian; convert it on the machine that wrote it")
        payload = unpickle(stream, storage)
        keys = unpickle(stream, storage)
        place = stream.tell()
        for key in keys if isinstance(keys, list) else []:
            if not isinstance(key, str) or key not in storages or place + 8 > self.size:
                raise CheckpointError("the file is damaged or cut off (before the end of its tensors)")
            size = struct.unpack("<q", self._map[place : place + 8])[0] * storages[key].dtype.itemsize
            if not 0 <= size <= self.size - place - 8:
                raise CheckpointError("the file is damaged or cut off (before the end of its tensors)")
            self._places[key], self._sizes[key] = place + 8, size
            place += 8 + size
        return payload


def _storage(description: Any) -> Storage:
    """Read a persistent id: ("storage", type, key, device, number of elements[, view])."""
    try:
        kind, storage_type, key, _, size, *view = description
    except (TypeError, ValueError):
        raise RefusedError("it describes a storage in a way that torch.save does not") from None
    known = isinstance(storage_type, Global) and storage_type.name.rpartition(".")[2] in STORAGE_DTYPES
    if kind != "storage" or not known or type(key) is not str or type(size) is not int or size < 0 or any(view):
        raise RefusedError("it describes a storage in a way that torch.save does not")
    return Storage(key, STORAGE_DTYPES[storage_type.name.rpartition(".")[2]], size)
