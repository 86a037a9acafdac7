# SPDX-License-Identifier: Apache-2.0
"""From published weights to tensors and a configuration of ours, with an account of every tensor.

Tensors stay in the mapped file until they are written, so this needs little memory of its own, and what is not asked
for (optimizer, the copy without averaging) is never read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from uva_core import presets
from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.config import UvaConfig
from uva_core.network.config import TokenizerConfig
from uva_core.official import names as official
from uva_core.official.importing import official_checkpoint
from uva_core.official.importing.account import MAR, Converted, Found, account
from uva_core.official.importing.hydra_config import HydraConfig
from uva_core.official.importing.language_latents import language_latents
from uva_core.official.importing.objects import StoredTensor
from uva_core.official.importing.torch_file import TorchFile
from uva_core.official.vae_names import our_vae_tensors
from uva_core.serialization import from_dict, printable

KL16_IMAGE_SIZE = 256  # pixels; the autoencoder works for others, UVA and MAR use this
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


def _convert_official(source: TorchFile, payload: dict[str, Any], options: Options) -> Converted:
    states = payload["state_dicts"]
    chosen = _choose(options.weights, {"ema": states.get("ema_model"), "model": states.get("model")})
    tensors = _unwrapped(_tensors(source, chosen))
    network, vae = _below(tensors, "model."), _below(tensors, "vae_model.")
    hydra = HydraConfig(payload["cfg"])
    config = official_checkpoint.policy_config(hydra, network, vae_config(vae), options.heads)

    found = Found(tensors)
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
    return account("official UVA checkpoint", config, found, unused)


def _convert_mar(source: TorchFile, payload: dict[str, Any], options: Options) -> Converted:
    if options.preset is None:
        raise CheckpointError(f"MAR's weights start a UVA network: say which with --preset ({_presets()})")
    try:
        config = from_dict(UvaConfig, presets.load(options.preset)["config"])
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    chosen = _choose(options.weights, {"ema": payload.get("model_ema"), "model": payload.get("model")})
    network = _tensors(source, chosen)
    found = Found(network)
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
    return account(MAR, config, found)


def _convert_vae(tensors: dict[str, Tensor]) -> Converted:
    found = Found(tensors)
    unused = [name for name in tensors if name.startswith("loss.")]  # of the autoencoder's own training
    vae = {name: tensor for name, tensor in tensors.items() if name not in unused}
    for name, (ours, tensor) in zip(vae, our_vae_tensors(vae).items(), strict=True):
        found.take(f"vae.{ours}", tensor, name)
    return account("kl16 autoencoder", vae_config(vae), found, unused)


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
