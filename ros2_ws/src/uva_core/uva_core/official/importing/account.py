# SPDX-License-Identifier: Apache-2.0
"""Account for every tensor of a conversion: taken over, not needed, without a place, or missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from uva_core.checkpoint.safetensors_file import CheckpointError, tensors_of
from uva_core.config import UvaConfig
from uva_core.network.config import TokenizerConfig
from uva_core.network.tokenizer import Tokenizer
from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import printable

MAR = "MAR checkpoint"  # the kind of source that lacks most of a network: it starts one


@dataclass
class Converted:
    """The result, and what became of each tensor of the source. Lists hold one line a tensor.

    Attributes:
        kind: what the source is.
        config: the configuration to write: a `UvaConfig`, or a `TokenizerConfig` for the autoencoder alone.
        tensors: under our names.
        missing: ours that the source does not have.
        unused: the source's that no forward pass needs.
        unknown: the source's that have no place in our network, by name or by shape.
    """

    kind: str
    config: UvaConfig | TokenizerConfig
    tensors: dict[str, Tensor]
    missing: list[str]
    unused: list[str]
    unknown: list[str]

    @property
    def counts(self) -> dict[str, str]:
        """Numbers of tensors, for the output's metadata."""
        lists = {"missing": self.missing, "unused": self.unused, "unknown": self.unknown}
        return {"source": self.kind} | {f"{name}_tensors": str(len(lines)) for name, lines in lists.items()}

    def fill_missing(self) -> None:
        """Give missing tensors the initial values of a new network (seed 0).

        Raises:
            CheckpointError: more is missing than is there (MAR's weights may start any of the presets).
        """
        expected = _expected(self.config)
        lacking = sum(expected[name].numel() for name in self.missing)
        present = sum(tensor.numel() for tensor in self.tensors.values())
        if self.kind != MAR and lacking > present:
            raise CheckpointError(f"{lacking} numbers are missing and only {present} are there, nothing was written")
        torch.manual_seed(0)
        initial = _module(self.config).state_dict()
        self.tensors |= {name: initial[name] for name in self.missing}


def check_finite(converted: Converted) -> None:
    """Read every tensor once.

    Raises:
        CheckpointError: some hold NaN or infinity.
    """
    progress = tqdm(converted.tensors.items(), desc="checking", unit="tensor", leave=False)
    broken = sorted(name for name, tensor in progress if not tensor.isfinite().all())
    if broken:
        raise CheckpointError(f"NaN or infinity in {len(broken)} tensors ({', '.join(broken[:3])})")


def _module(config: UvaConfig | TokenizerConfig) -> UvaPolicy | Tokenizer:
    return UvaPolicy(config) if isinstance(config, UvaConfig) else Tokenizer(config)


def _expected(config: UvaConfig | TokenizerConfig) -> dict[str, Tensor]:
    """Return all tensors of a checkpoint with this configuration, without memory for them."""
    return tensors_of(_module, config)


class Found:
    """Tensors under our names, and which of the source's they came from."""

    def __init__(self, source: dict[str, Tensor]) -> None:
        self.source = source
        self.tensors: dict[str, Tensor] = {}
        self.origins: dict[str, tuple[str, ...]] = {}

    def take(self, ours: str, tensor: Tensor, *origins: str) -> None:
        """Keep `tensor` under our name; `origins` are those of the source that it was made from.

        Raises:
            CheckpointError: there is one of this name already; the message names both origins.
        """
        if ours in self.tensors:
            names = " and ".join(map(printable, (*self.origins[ours], *origins)))
            raise CheckpointError(f"two of its tensors have the same place, {ours}: {names}")
        self.tensors[ours] = tensor
        self.origins[ours] = origins

    @property
    def left_over(self) -> list[str]:
        """The source's that were not taken."""
        taken = {name for names in self.origins.values() for name in names}
        return [name for name in self.source if name not in taken]


def account(kind: str, config: UvaConfig | TokenizerConfig, found: Found, unused: Sequence[str] = ()) -> Converted:
    """Compare what was found with what `config` needs; `unused` names the source's that no forward pass needs.

    Raises:
        CheckpointError: weights that are no floating-point numbers.
        ValueError: there is no such network.
    """
    shapes = {name: tensor.shape for name, tensor in _expected(config).items()}
    tensors = {
        n: found.tensors[n] for n, shape in shapes.items() if n in found.tensors and found.tensors[n].shape == shape
    }
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise CheckpointError(f"{', '.join(found.origins[name])} holds {tensor.dtype}, not floating-point weights")
    tensors |= {name: torch.empty(shape) for name, shape in shapes.items() if shape.numel() == 0}
    known = set(unused)
    unknown = [f"{n} {tuple(found.source[n].shape)}" for n in found.left_over if n not in known]
    for ours, tensor in found.tensors.items():
        if ours not in tensors:
            name = ", ".join(found.origins[ours]) or ours
            instead = f" instead of {tuple(shapes[ours])}" if ours in shapes else ""
            unknown.append(f"{name} {tuple(tensor.shape)}{instead}")
    missing = [name for name in shapes if name not in tensors]
    return Converted(kind, config, tensors, missing, sorted(unused), sorted(unknown))
