# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: one safetensors file with the configuration inside. Nothing in it can run code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

FORMAT = "uva_core/1"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message says which and why."""


def save(
    path: str | Path, tensors: dict[str, Tensor], config: dict[str, Any], notes: dict[str, str] | None = None
) -> None:
    """Write `tensors` and `config` to `path`, whole or not at all; `notes` on where they come from go beside them."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    ready = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    temporary = path.with_name(path.name + ".part")
    save_file(ready, temporary, metadata={**(notes or {}), "format": FORMAT, "config": json.dumps(config)})
    temporary.chmod(0o644)  # safetensors lets nobody else read it
    temporary.replace(path)


def load(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint. Floating-point tensors come as float32.

    Raises:
        CheckpointError: missing, truncated, another format, or without a configuration.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from None
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path} is no {FORMAT} checkpoint (its format: {metadata.get('format', 'none')})")
    try:
        config = json.loads(metadata["config"])
    except (KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} has no readable configuration: {error!r}") from None
    return {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}, config


def load_module(module: nn.Module, tensors: dict[str, Tensor], prefix: str, path: str | Path) -> None:
    """Fill `module` with the tensors under `prefix`.

    Raises:
        CheckpointError: tensors missing, left over, of another shape (up to three of each are named) or not finite.
    """
    own = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
    expected = module.state_dict()
    problems = {
        "missing": sorted(expected.keys() - own.keys()),
        "unexpected": sorted(own.keys() - expected.keys()),
        "of another shape": [
            f"{n} {tuple(own[n].shape)} instead of {tuple(expected[n].shape)}"
            for n in sorted(expected.keys() & own.keys())
            if own[n].shape != expected[n].shape
        ],
    }
    told = [f"{len(names)} {kind} ({', '.join(names[:3])})" for kind, names in problems.items() if names]
    if told:
        raise CheckpointError(f"{path} does not fit its configuration: {'; '.join(told)}")
    broken = sorted(name for name, tensor in own.items() if not tensor.isfinite().all())
    if broken:
        raise CheckpointError(f"{path} holds NaN or infinity in {len(broken)} tensors ({', '.join(broken[:3])})")
    module.load_state_dict(own)
