# SPDX-License-Identifier: Apache-2.0
"""One recorded case: reading it, and comparing results with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

PRECISION = 1e-5  # of float32; where a case records more noise of its own for an output, five times that
INT8_SUFFIX = "weights_scale/"


@dataclass(frozen=True)
class Row:
    """One output of one case: `error` is the largest absolute difference, None where there is nothing to compare."""

    case: str
    output: str
    error: float | None
    allowed: float | None
    problem: str = ""

    @property
    def group(self) -> str:
        """What the output belongs to: a mode, `train`, `heads` or a table."""
        return self.output.split("/")[0]

    @property
    def passed(self) -> bool:
        """Whether it was compared and is equal up to rounding."""
        return not self.problem


class Case:
    """Tensors and description of one folder."""

    def __init__(self, folder: Path) -> None:
        """Read `folder`. `noise` holds how far rounding alone moves an output, as far as the case records it.

        Raises:
            FileNotFoundError: case.json or tensors.safetensors is missing.
        """
        self.folder = folder
        self.about: dict[str, Any] = json.loads((folder / "case.json").read_text())
        self.name: str = self.about["case"]
        self.tensors = load_file(folder / "tensors.safetensors")
        self.aliases: dict[str, str] = self.about.get("same_as", {})
        for alias, original in self.aliases.items():
            self.tensors[alias] = self.tensors[original]
        self.noise: dict[str, float] = {
            name: values[0] for name, values in self.about.get("float32_noise", {}).get("values", {}).items()
        }
        self.constructor: dict[str, Any] = {key: v["value"] for key, v in self.about.get("constructor", {}).items()}

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def get(self, name: str) -> Tensor | None:
        """Return a tensor, or None where the case does not have it."""
        return self.tensors.get(name)

    def find(self, prefix: str, *words: str) -> Tensor | None:
        """Return the first tensor whose name starts with `prefix` and holds all `words` after it, or None."""
        for name in sorted(self.tensors):
            if name.startswith(prefix) and all(word in name[len(prefix) :] for word in words):
                return self.tensors[name]
        return None

    def meaning(self, name: str) -> str:
        """Return what the case says about a tensor, or nothing."""
        return str(self.about["tensors"].get(name, {}).get("meaning", ""))

    @property
    def weights(self) -> dict[str, Tensor]:
        """Parameters under their official names, as float32."""
        weights = {n.removeprefix("weights/"): t for n, t in self.tensors.items() if n.startswith("weights/")}
        return {
            n: t.float() * self.tensors[INT8_SUFFIX + n] if t.dtype == torch.int8 else t for n, t in weights.items()
        }

    @property
    def outputs(self) -> list[str]:
        """Names of everything that the reference computed, aliases included."""
        return sorted({*self.about["outputs"], *(a for a, o in self.aliases.items() if o in self.about["outputs"])})

    def compare(self, results: Iterable[tuple[str, Tensor]]) -> Iterator[Row]:
        """Compare results with recorded outputs as they come; outputs without a result follow at the end."""
        open_names = set(self.outputs)
        for name, result in results:
            if name in open_names:
                open_names.remove(name)
                yield self._row(name, result)
        for name in sorted(open_names):
            yield Row(self.name, name, None, None, "unchecked: nothing here computes it")

    def _row(self, name: str, result: Tensor) -> Row:
        expected = self[name]
        if result.shape != expected.shape:
            return Row(self.name, name, None, None, f"shape {tuple(result.shape)} instead of {tuple(expected.shape)}")
        noise = self.noise.get(self.aliases.get(name, name), 0.0)
        allowed = max(PRECISION, 5 * noise) if expected.is_floating_point() else 0.0
        error = (result.detach().double() - expected.double()).abs().max().item()
        return Row(self.name, name, error, allowed, "" if error <= allowed else "too far off")
