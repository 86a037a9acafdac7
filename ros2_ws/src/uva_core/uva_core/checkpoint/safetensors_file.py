# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: one safetensors file with the configuration inside. Nothing in it can run code."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from uva_core.serialization import from_dict, printable

FORMAT = "uva_core/1"
MAX_CONFIG_LENGTH = 1_000_000  # characters of JSON
MAX_MESSAGE_LENGTH = 2000

C = TypeVar("C")
M = TypeVar("M", bound=nn.Module)


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message says which and why, in one line of printable characters."""

    def __init__(self, message: str) -> None:
        """Take a message that may hold names out of a file."""
        super().__init__(printable(message, MAX_MESSAGE_LENGTH))


def require_file(path: Path, what: str = "file") -> None:
    """Check that `path` is a regular file, before it is opened (opening a pipe would wait).

    Raises:
        CheckpointError: there is nothing, or a folder, a pipe or a device.
    """
    if not path.exists():
        raise CheckpointError(f"no {what} at {path}")
    if not path.is_file():
        raise CheckpointError(f"{path} is no regular file")


def save(
    path: str | Path, tensors: dict[str, Tensor], config: dict[str, Any], notes: dict[str, str] | None = None
) -> None:
    """Write `tensors` and `config` to `path`, whole or not at all; `notes` on where they come from go beside them."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    ready = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    temporary = path.with_name(path.name + ".part")
    try:
        save_file(ready, temporary, metadata={**(notes or {}), "format": FORMAT, "config": json.dumps(config)})
        temporary.chmod(0o644)  # safetensors lets nobody else read it
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)  # still there after an error or Ctrl-C


def load(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint. Floating-point tensors come as float32.

    Raises:
        CheckpointError: missing, truncated, another format, or without a configuration.
    """
    path = Path(path)
    require_file(path, "checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise CheckpointError(
                    f"{path} is no {FORMAT} checkpoint (its format: {metadata.get('format', 'none')})"
                )
            config = parse_config(metadata.get("config", ""), path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from None
    return {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}, config


def parse_config(text: str, path: Path) -> dict[str, Any]:
    """Read the JSON text of the configuration in checkpoint `path`.

    Raises:
        CheckpointError: damaged, not a mapping, too long, nested too deep, or with numbers of thousands of digits.
    """
    if len(text) > MAX_CONFIG_LENGTH:
        raise CheckpointError(f"{path} has a configuration of {len(text)} characters; allowed are {MAX_CONFIG_LENGTH}")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} has no readable configuration: {error}") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} has no readable configuration: it must be a mapping, got {reprlib.repr(config)}")
    return config


def load_module(path: str | Path, build: Callable[[C], M], config_type: type[C]) -> M:
    """Build the module that a checkpoint describes, and fill it.

    Its tensors are compared with those in the file before memory is taken for it.

    Args:
        path: a file that `save` wrote.
        build: makes the module from its configuration.
        config_type: class of the configuration.

    Raises:
        CheckpointError: as `load`; or the configuration is impossible, or there are tensors that do not fit it or are
            not finite.
    """
    tensors, values = load(path)
    try:
        config = from_dict(config_type, values)
        expected = tensors_of(build, config)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    _compare(tensors, expected, path)
    module = build(config)
    module.load_state_dict(tensors)
    return module


def tensors_of(build: Callable[[C], nn.Module], config: C) -> dict[str, Tensor]:
    """Return names, shapes and types of a module's tensors (on the device `meta`), without memory for them.

    Raises:
        ValueError: there is no such module.
    """
    try:
        with torch.device("meta"):
            return build(config).state_dict()
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"its configuration cannot be built: {error}") from None


def _compare(tensors: dict[str, Tensor], expected: dict[str, Tensor], path: str | Path) -> None:
    both = sorted(expected.keys() & tensors.keys())
    problems = {
        "missing": sorted(expected.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - expected.keys()),
        "of another shape": [
            f"{n} {tuple(tensors[n].shape)} instead of {tuple(expected[n].shape)}"
            for n in both
            if tensors[n].shape != expected[n].shape
        ],
        "of another type": [f"{n} {tensors[n].dtype}" for n in both if tensors[n].dtype != expected[n].dtype],
    }
    lines = [
        f"{len(names)} {kind} ({', '.join(map(printable, names[:3]))})" for kind, names in problems.items() if names
    ]
    if lines:
        raise CheckpointError(f"{path} does not fit its configuration: {'; '.join(lines)}")
    broken = sorted(name for name, tensor in tensors.items() if not tensor.isfinite().all())
    if broken:
        raise CheckpointError(f"{path} holds NaN or infinity in {len(broken)} tensors ({', '.join(broken[:3])})")
