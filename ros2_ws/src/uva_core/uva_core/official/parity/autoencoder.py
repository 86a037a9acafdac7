# SPDX-License-Identifier: Apache-2.0
"""Cases of the image autoencoder."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from uva_core.network.config import TokenizerConfig
from uva_core.network.tokenizer import Tokenizer
from uva_core.official.parity.case import Case
from uva_core.official.vae_names import our_vae_tensors

PROBE_STRIDE = 8


def tokenizer_of(case: Case, image_size: int = 256) -> Tokenizer:
    """Build the recorded autoencoder with its weights."""
    c = case.constructor
    tokenizer = Tokenizer(
        TokenizerConfig(
            image_size=image_size,
            latent_channels=c["z_channels"],
            block_out_channels=tuple(c["ch"] * factor for factor in c["ch_mult"]),
            layers_per_block=c["num_res_blocks"],
        )
    )
    tokenizer.vae.load_state_dict(our_vae_tensors(case.weights))
    return tokenizer.eval()


@torch.no_grad()
def results(case: Case) -> Iterator[tuple[str, Tensor]]:
    """Compute everything that such a case records."""
    tokenizer = tokenizer_of(case)
    vae, image = tokenizer.vae, case["image"]
    yield "encoder_out", vae.encoder(image)
    posterior = vae.encode(image).latent_dist
    yield "mean", posterior.mean
    yield "logvar", posterior.logvar
    yield "std", posterior.std
    yield "kl", posterior.kl()
    yield "sample", posterior.mean + posterior.std * case["noise"]
    yield "latent", tokenizer.encode(image, case["noise"])
    flat = vae.encode(case["flat_image"]).latent_dist
    yield "flat_mean", flat.mean
    yield "flat_logvar", flat.logvar
    scale = tokenizer.config.scaling_factor
    yield "decoded", tokenizer.decode(case["decode_in"] * scale)
    yield "decoded_from_mean", tokenizer.decode(posterior.mean * scale)[..., ::PROBE_STRIDE, ::PROBE_STRIDE]
