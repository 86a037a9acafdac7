# SPDX-License-Identifier: Apache-2.0
"""Write episodes as a Zarr store in the layout of UMI's replay buffer.

`data/<key>` holds the rows of all episodes one after another, and `meta/episode_ends` where each episode ends. Row t
is the observation before action t.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

import numcodecs
import numpy as np
import zarr
from numpy.typing import NDArray

from arx_x5_sim.collection.episodes import Episode, Kind
from arx_x5_sim.tasks.cartesian_env import RATE_HZ

SCHEMA_VERSION = 1
IMAGE_KEY = "camera0_rgb"
IMAGE_CHUNK_FRAMES = 16
ROW_CHUNK = 4096


class DatasetWriter:
    """Append episodes to a store that appears under its name only when it is complete.

    Use as a context manager: on an exception the half-written store is removed.
    """

    def __init__(self, path: Path, attributes: dict[str, Any]) -> None:
        """Prepare to write `path`, with `attributes` beside the schema's own.

        Raises:
            FileExistsError: `path` exists.
        """
        if path.exists():
            raise FileExistsError(f"{path} exists already; remove it or choose another name")
        self._path = path
        self._partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
        self._attributes = {"schema_version": SCHEMA_VERSION, "rate_hz": RATE_HZ, **attributes}
        self._images: zarr.Array[Any] | None = None
        self._columns: dict[str, list[NDArray[Any]]] = {}
        self._ends: list[int] = []
        self._seeds: list[int] = []
        self._kinds: list[bool] = []

    def __enter__(self) -> DatasetWriter:
        """Create the temporary store."""
        self._partial.mkdir(parents=True)
        # UMI reads Zarr's format 2. The library's own argument for it changes from one version to the next.
        (self._partial / ".zgroup").write_text('{"zarr_format": 2}', encoding="utf-8")
        self._root = zarr.open_group(str(self._partial), mode="r+")
        self._data = self._root.create_group("data")
        return self

    def append(self, episode: Episode) -> None:
        """Add an episode's rows."""
        for key, column in episode.arrays.items():
            if key == IMAGE_KEY:
                self._append_images(column)
            else:
                self._columns.setdefault(key, []).append(column)
        self._ends.append((self._ends[-1] if self._ends else 0) + len(episode.arrays["action"]))
        self._seeds.append(episode.seed)
        self._kinds.append(episode.kind is Kind.PLAY)

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete and rename the store, or remove it after an exception."""
        if error_type is not None:
            shutil.rmtree(self._partial, ignore_errors=True)
            return
        for key, columns in self._columns.items():
            self._write(self._data, key, np.concatenate(columns))
        meta = self._root.create_group("meta")
        self._write(meta, "episode_ends", np.array(self._ends, dtype=np.int64))
        self._write(meta, "episode_seed", np.array(self._seeds, dtype=np.int64))
        self._write(meta, "episode_is_play", np.array(self._kinds, dtype=np.bool_))
        self._root.attrs.update(self._attributes)
        self._partial.rename(self._path)

    def _append_images(self, images: NDArray[np.uint8]) -> None:
        if self._images is None:
            self._images = self._data.create(
                IMAGE_KEY,
                shape=(0, *images.shape[1:]),
                chunks=(IMAGE_CHUNK_FRAMES, *images.shape[1:]),
                dtype=images.dtype,
                compressor=_compressor(),
            )
        self._images.append(images)

    @staticmethod
    def _write(group: Any, key: str, values: NDArray[Any]) -> None:
        chunks = (min(ROW_CHUNK, max(1, len(values))), *values.shape[1:])
        array = group.create(key, shape=values.shape, chunks=chunks, dtype=values.dtype, compressor=_compressor())
        array[:] = values


def _compressor() -> numcodecs.Blosc:
    return numcodecs.Blosc(cname="lz4", clevel=5, shuffle=numcodecs.Blosc.NOSHUFFLE)
