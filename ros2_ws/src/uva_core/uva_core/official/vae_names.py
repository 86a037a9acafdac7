# SPDX-License-Identifier: Apache-2.0
"""Translate names of the official image autoencoder (kl-f16, after latent-diffusion) to diffusers' AutoencoderKL."""

from __future__ import annotations

import re

from torch import Tensor

# Parts of a name, in the order in which they are replaced.
RENAMED = (
    (r"^encoder\.down\.(\d+)\.", r"encoder.down_blocks.\1."),
    (r"\.block\.(\d+)\.", r".resnets.\1."),
    (r"\.(downsample|upsample)\.conv\.", r".\1rs.0.conv."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.", ".mid_block.attentions.0."),
    (r"\.attn\.(\d+)\.", r".attentions.\1."),
    (r"(\.attentions\.\d+)\.norm\.", r"\1.group_norm."),
    (r"(\.attentions\.\d+)\.([qkv])\.", r"\1.to_\2."),
    (r"(\.attentions\.\d+)\.proj_out\.", r"\1.to_out.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"coder\.norm_out\.", "coder.conv_norm_out."),
)
PROJECTION = re.compile(r"\.attentions\.\d+\.to_(q|k|v|out\.0)\.weight$")
DECODER_LEVEL = re.compile(r"^decoder\.up\.(\d{1,3})\.")


def our_vae_name(official: str, levels: int) -> str:
    """Return diffusers' name of a parameter; `levels` is the number of resolutions.

    The decoder's levels are numbered from the finest in the official names and from the coarsest in diffusers.
    """
    name = DECODER_LEVEL.sub(lambda match: f"decoder.up_blocks.{levels - 1 - int(match[1])}.", official)
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def our_vae_tensors(official: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the official autoencoder's state dict; attention's 1x1 convolutions become linear layers.

    Raises:
        ValueError: two of its names are translated to the same one.
    """
    levels = 1 + max((int(match[1]) for match in map(DECODER_LEVEL.match, official) if match), default=0)
    tensors: dict[str, Tensor] = {}
    for official_name, tensor in official.items():
        name = our_vae_name(official_name, levels)
        if name in tensors:
            raise ValueError(f"two of the autoencoder's tensors have the same place, {name}: one is {official_name}")
        tensors[name] = tensor.flatten(1) if tensor.ndim == 4 and PROJECTION.search(name) else tensor
    return tensors
