# SPDX-License-Identifier: Apache-2.0
"""Published tables of language latents: a pickled dict from a task's name to an array of 512 numbers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uva_core.checkpoint.safetensors_file import CheckpointError, require_file
from uva_core.official.importing.objects import Record, RefusedError
from uva_core.official.importing.unpickle import MAX_BYTES, unpickle
from uva_core.official.names import CLIP_DIM


def language_latents(path: str | Path) -> dict[str, Tensor]:
    """Read a table of language latents, each (512,), without running anything in it.

    Raises:
        CheckpointError: missing, damaged, refused, or something else.
    """

    def no_storage(_: Any) -> Any:
        raise RefusedError("it refers to data outside the file")

    path = Path(path)
    require_file(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES)
        table = unpickle(io.BytesIO(content), no_storage)
        if not isinstance(table, dict):
            raise ValueError("it holds no dict")
        if len(table) * CLIP_DIM * 4 > len(content):
            raise ValueError(f"{len(table)} instructions in {len(content)} bytes")
        if not all(isinstance(name, str) for name in table):
            raise ValueError("an instruction that is no text")
        latents = {name: _array(record) for name, record in table.items()}
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    except RefusedError as error:
        raise CheckpointError(f"{path} is refused: {error} (nothing of it was run)") from None
    except (CheckpointError, AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is no table of language latents ({error})") from None
    if not latents:
        raise CheckpointError(f"{path} is no table of language latents (it has no instructions)")
    return latents


def _array(record: Record) -> Tensor:
    """Rebuild an array of numbers from how numpy pickles it: version, shape, type, column order, bytes."""
    _, _, kind, column_major, data = record.state
    (kind_name, *_) = kind.args
    if kind_name not in ("f4", "f8") or column_major:
        raise ValueError(f"an array of type {kind_name}")
    if kind.state[1] != "<":
        raise ValueError("an array in another byte order")
    numbers = np.frombuffer(data, kind_name)
    if len(numbers) != CLIP_DIM:
        raise ValueError(f"an array of {len(numbers)} numbers instead of {CLIP_DIM}")
    return torch.from_numpy(numbers.astype(np.float32))
