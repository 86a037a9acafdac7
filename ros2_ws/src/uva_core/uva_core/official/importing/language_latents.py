# SPDX-License-Identifier: Apache-2.0
"""Published tables of language latents: a pickled dict from a task's name to an array of 512 numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.official.importing.unpickle import Record, RefusedError, unpickle


def language_latents(path: str | Path) -> dict[str, Tensor]:
    """Read a table of language latents, each (512,), without running anything in it.

    Raises:
        CheckpointError: missing, damaged, refused, or something else.
    """

    def no_storage(_: Any) -> Any:
        raise RefusedError("it refers to data outside the file")

    try:
        with Path(path).open("rb") as file:
            table = unpickle(file, no_storage)
        latents = {name: _array(record) for name, record in table.items()}
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    except RefusedError as error:
        raise CheckpointError(f"{path} is refused: {error} (nothing of it was run)") from None
    except (CheckpointError, AttributeError, ValueError, TypeError, IndexError) as error:
        raise CheckpointError(f"{path} is no table of language latents ({error})") from None
    if not latents or len({latent.shape for latent in latents.values()}) != 1:
        raise CheckpointError(f"{path} is no table of language latents (its arrays differ in size)")
    return latents


def _array(record: Record) -> Tensor:
    """Rebuild an array of numbers from how numpy pickles it: version, shape, type, column order, bytes."""
    _, shape, kind, column_major, data = record.state
    (kind_name, *_) = kind.args
    if kind_name not in ("f4", "f8") or column_major:
        raise ValueError(f"an array of type {kind_name}")
    return torch.from_numpy(np.frombuffer(data, kind_name).reshape(shape).astype(np.float32).ravel())
