# SPDX-License-Identifier: Apache-2.0
"""From published weights to tensors and a configuration of ours, with an account of every tensor.

Tensors stay in the mapped file until they are written, so this needs little memory of its own, and what is not asked
for (optimizer, the copy without averaging) is never read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from uva_core import presets
from uva_core.checkpoint.safetensors_file import CheckpointError, tensors_of
from uva_core.config import UvaConfig
from uva_core.network.config import TokenizerConfig
from uva_core.network.tokenizer import Tokenizer
from uva_core.official import names as official
from uva_core.official.importing import official_checkpoint
from uva_core.official.importing.hydra_config import HydraConfig
from uva_core.official.importing.language_latents import language_latents
from uva_core.official.importing.objects import StoredTensor
from uva_core.official.importing.torch_file import TorchFile
from uva_core.official.vae_names import our_vae_tensors
from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import from_dict, printable

KL16_IMAGE_SIZE = 256  # pixels; the autoencoder works for others, UVA and MAR use this
MAR = "MAR checkpoint"
KL16_SCALE = 0.2325  # what latents are multiplied by (official UVA and MAR)
WRAPPER = re.compile(r"(?<![^.])module\.")  # what training on several devices puts into names


@dataclass(frozen=True)
class Options:
    """What the caller decides.

    Attributes:
        weights: "ema", "model", or None for the averaged weights where there are any.
        preset: which UVA network MAR's weights are to start.
        heads: attention heads, where an official configuration does not tell.
        vae: kl16.ckpt for a network that comes without an autoencoder (MAR).
        instructions: pickled table of language latents to put into the checkpoint.
    """

    weights: str | None = None
    preset: str | None = None
    heads: int | None = None
    vae: Path | None = None
    instructions: Path | None = None


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
        """The account in numbers, for the output's metadata."""
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


def convert(source: TorchFile, options: Options) -> Converted:
    """Recognise the source and take over what it holds.

    Raises:
        CheckpointError: it is none of the known kinds, or cannot be understood.
    """
    payload = source.payload if isinstance(source.payload, dict) else {}
    try:
        if "cfg" in payload and isinstance(payload.get("state_dicts"), dict):
            return _convert_official(source, payload, options)
        if "model_ema" in payload or "z_proj.weight" in _names(payload.get("model")):
            return _convert_mar(source, payload, options)
        if "encoder.conv_in.weight" in _names(payload.get("model")):
            return _convert_vae(_tensors(source, payload["model"]))
    except (CheckpointError, ValueError) as error:
        raise CheckpointError(f"{source.path}: {error}") from None
    keys = ", ".join(map(str, payload)) or type(source.payload).__name__
    raise CheckpointError(f"{source.path} is no UVA, MAR or kl16 checkpoint (it holds: {printable(keys)})")


def check_finite(converted: Converted) -> None:
    """Read every tensor once.

    Raises:
        CheckpointError: some hold NaN or infinity.
    """
    progress = tqdm(converted.tensors.items(), desc="checking", unit="tensor", leave=False)
    broken = sorted(name for name, tensor in progress if not tensor.isfinite().all())
    if broken:
        raise CheckpointError(f"NaN or infinity in {len(broken)} tensors ({', '.join(broken[:3])})")


def _convert_official(source: TorchFile, payload: dict[str, Any], options: Options) -> Converted:
    states = payload["state_dicts"]
    chosen = _choose(options.weights, {"ema": states.get("ema_model"), "model": states.get("model")})
    tensors = _unwrapped(_tensors(source, chosen))
    network, vae = _below(tensors, "model."), _below(tensors, "vae_model.")
    hydra = HydraConfig(payload["cfg"])
    config = official_checkpoint.policy_config(hydra, network, vae_config(vae), options.heads)

    found = _Found(tensors)
    for name, tensor in network.items():
        for ours in official.our_tensors({name: tensor}, config.model):  # none, if no forward pass needs it
            found.take(f"model.{ours}", tensor, f"model.{name}")
    for name, (ours, tensor) in zip(vae, our_vae_tensors(vae).items(), strict=True):
        found.take(f"tokenizer.vae.{ours}", tensor, f"vae_model.{name}")
    sources = official_checkpoint.normalizer_sources(hydra, config.model)
    for ours, tensor in official_checkpoint.identity_normalizers(config.model).items():
        if ours not in sources:
            found.take(ours, tensor)
        elif all(name in tensors for name in sources[ours]):
            found.take(ours, torch.cat([tensors[name].ravel() for name in sources[ours]]), *sources[ours])
    if options.instructions and not config.model.text_dim:
        raise CheckpointError("its network takes no language: there is no use for --instructions")
    if options.instructions:
        latents = language_latents(options.instructions)
        config = replace(config, instructions=tuple(latents))
        found.take("instructions.latents", torch.stack(list(latents.values())))
    unused = [name for name in found.left_over if name.startswith(("text_model.", "normalizer."))]
    unused += [f"model.{name}" for name in network if official.unused(name, config.model)]
    return _account("official UVA checkpoint", config, found, unused)


def _convert_mar(source: TorchFile, payload: dict[str, Any], options: Options) -> Converted:
    if options.preset is None:
        raise CheckpointError(f"MAR's weights start a UVA network: say which with --preset ({_presets()})")
    try:
        config = from_dict(UvaConfig, presets.load(options.preset)["config"])
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    chosen = _choose(options.weights, {"ema": payload.get("model_ema"), "model": payload.get("model")})
    network = _tensors(source, chosen)
    found = _Found(network)
    for name, tensor in network.items():
        found.take(f"model.{official.our_name(name)}", tensor, name)
    for ours, tensor in official_checkpoint.identity_normalizers(config.model).items():
        found.take(ours, tensor)
    if options.vae:
        converted = convert(TorchFile(options.vae), Options())
        if not isinstance(converted.config, TokenizerConfig):
            raise CheckpointError(f"{options.vae} is no kl16 checkpoint")
        for ours, tensor in converted.tensors.items():
            found.take(f"tokenizer.{ours}", tensor)
    return _account(MAR, config, found)


def _convert_vae(tensors: dict[str, Tensor]) -> Converted:
    found = _Found(tensors)
    unused = [name for name in tensors if name.startswith("loss.")]  # of the autoencoder's own training
    vae = {name: tensor for name, tensor in tensors.items() if name not in unused}
    for name, (ours, tensor) in zip(vae, our_vae_tensors(vae).items(), strict=True):
        found.take(f"vae.{ours}", tensor, name)
    return _account("kl16 autoencoder", vae_config(vae), found, unused)


def vae_config(tensors: dict[str, Tensor]) -> TokenizerConfig:
    """Return the sizes of an official autoencoder.

    Raises:
        CheckpointError: tensors that tell the sizes are missing.
    """
    rows = {name: tensor.shape[0] for name, tensor in tensors.items() if tensor.ndim}
    channels: list[int] = []
    while (name := f"encoder.down.{len(channels)}.block.0.conv1.weight") in rows:
        channels.append(rows[name])
    layers = 0
    while f"encoder.down.0.block.{layers}.conv1.weight" in rows:
        layers += 1
    if not channels or "post_quant_conv.weight" not in rows:
        raise CheckpointError("it has no autoencoder (encoder.down.0.block.0.conv1.weight, post_quant_conv.weight)")
    try:
        return TokenizerConfig(
            image_size=KL16_IMAGE_SIZE,
            latent_channels=rows["post_quant_conv.weight"],
            block_out_channels=tuple(channels),
            layers_per_block=layers,
            last_level_attention=f"encoder.down.{len(channels) - 1}.attn.0.q.weight" in rows,
            scaling_factor=KL16_SCALE,
        )
    except ValueError as error:
        raise CheckpointError(f"its autoencoder cannot be built: {error}") from None


def _module(config: UvaConfig | TokenizerConfig) -> UvaPolicy | Tokenizer:
    return UvaPolicy(config) if isinstance(config, UvaConfig) else Tokenizer(config)


def _expected(config: UvaConfig | TokenizerConfig) -> dict[str, Tensor]:
    """All tensors of a checkpoint with this configuration, without memory for them."""
    return tensors_of(_module, config)


class _Found:
    """Tensors under our names, and which of the source's they came from."""

    def __init__(self, source: dict[str, Tensor]) -> None:
        self.source = source
        self.tensors: dict[str, Tensor] = {}
        self.origins: dict[str, tuple[str, ...]] = {}

    def take(self, ours: str, tensor: Tensor, *origins: str) -> None:
        if ours in self.tensors:
            names = " and ".join(map(printable, (*self.origins[ours], *origins)))
            raise CheckpointError(f"two of its tensors are the same one here, {ours}: {names}")
        self.tensors[ours] = tensor
        self.origins[ours] = origins

    @property
    def left_over(self) -> list[str]:
        taken = {name for names in self.origins.values() for name in names}
        return [name for name in self.source if name not in taken]


def _account(kind: str, config: UvaConfig | TokenizerConfig, found: _Found, unused: Sequence[str] = ()) -> Converted:
    shapes = {name: tensor.shape for name, tensor in _expected(config).items()}
    tensors = {
        n: found.tensors[n] for n, shape in shapes.items() if n in found.tensors and found.tensors[n].shape == shape
    }
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise CheckpointError(f"{', '.join(found.origins[name])} holds {tensor.dtype}, not floating-point weights")
    tensors |= {name: torch.empty(shape) for name, shape in shapes.items() if shape.numel() == 0}
    unknown = [f"{n} {tuple(found.source[n].shape)}" for n in found.left_over if n not in unused]
    for ours, tensor in found.tensors.items():
        if ours not in tensors:
            name = ", ".join(found.origins[ours]) or ours
            instead = f" instead of {tuple(shapes[ours])}" if ours in shapes else ""
            unknown.append(f"{name} {tuple(tensor.shape)}{instead}")
    missing = [name for name in shapes if name not in tensors]
    return Converted(kind, config, tensors, missing, sorted(unused), sorted(unknown))


def _choose(wanted: str | None, available: dict[str, Any]) -> dict[str, Any]:
    present = {name: state for name, state in available.items() if isinstance(state, dict) and state}
    if not present or wanted not in (None, *present):
        raise CheckpointError(f"it has no weights '{wanted or 'ema'}' (it has: {', '.join(present) or 'none'})")
    return present[wanted or next(iter(present))]


def _tensors(source: TorchFile, state: dict[str, Any]) -> dict[str, Tensor]:
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, StoredTensor):
            raise CheckpointError(f"its weights hold '{printable(str(name))}', which is no tensor")
    tensors = {name: source.tensor(value) for name, value in state.items()}
    total = sum(tensor.nbytes for tensor in tensors.values())
    if total > 2 * source.size:  # some may be tied, but not all
        raise CheckpointError(f"its weights overlap: tensors of {total} bytes in a file of {source.size}")
    return tensors


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take the wrapper of training on several devices off the names."""
    origins: dict[str, str] = {}
    for name in tensors:
        plain = WRAPPER.sub("", name)
        if plain in origins:
            both = f"{printable(origins[plain])} and {printable(name)}"
            raise CheckpointError(f"{both} differ only in the 'module.' of training on several devices")
        origins[plain] = name
    return {plain: tensors[name] for plain, name in origins.items()}


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _names(state: Any) -> set[str]:
    return set(state) if isinstance(state, dict) else set()


def _presets() -> str:
    return ", ".join(presets.names())
