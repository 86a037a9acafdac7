# SPDX-License-Identifier: Apache-2.0
"""Instructions as 512-d language latents: a table inside the checkpoint, or the CLIP text encoder (section III-A).

The published UMI weights were used with three precomputed latents; `InstructionTable` carries such latents in the
checkpoint, so that a robot needs no language model. `ClipTextEncoder` makes latents of new instructions where CLIP's
weights are present.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

CLIP_NAME = "openai/clip-vit-base-patch32"


class InstructionTable(nn.Module):
    """Instructions and their latents, as part of a checkpoint."""

    latents: Tensor

    def __init__(self, instructions: Sequence[str], dim: int) -> None:
        """Make a table whose latents are then loaded or set; (n, dim)."""
        super().__init__()
        self.names = tuple(instructions)
        self.register_buffer("latents", torch.zeros(len(self.names), dim), persistent=bool(self.names))

    def latent(self, instruction: str) -> Tensor:
        """Return the latent (dim,) of an instruction; capitals and outer spaces do not matter.

        Raises:
            ValueError: not in the table; the message lists what is.
        """
        known = {name.strip().lower(): index for index, name in enumerate(self.names)}
        index = known.get(instruction.strip().lower())
        if index is None:
            listing = "; ".join(f"'{name}'" for name in self.names) or "none (the checkpoint carries no instructions)"
            raise ValueError(f"unknown instruction '{instruction}'; known: {listing}")
        return self.latents[index]


class ClipTextEncoder:
    """CLIP's text encoder with its projection, through transformers. The latent is used as it is, not normalized."""

    def __init__(self, source: str | Path = CLIP_NAME) -> None:
        """Load from a folder with weights and tokenizer, or from the local Hugging Face cache; never downloads.

        Raises:
            ValueError: transformers is not installed, or there are no such weights.
        """
        try:
            from transformers import AutoTokenizer, CLIPTextModelWithProjection
        except ImportError as error:
            raise ValueError("instructions beyond the checkpoint's table need: pip install transformers") from error
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
            self._model = CLIPTextModelWithProjection.from_pretrained(source, local_files_only=True).eval()
        except (OSError, ValueError) as error:
            raise ValueError(
                f"no CLIP weights at '{source}': give a folder that holds {CLIP_NAME}, or fill the local cache"
            ) from error

    @torch.no_grad()
    def __call__(self, instructions: Sequence[str]) -> Tensor:
        """Return latents (n, 512) of n instructions."""
        limit = self._model.config.max_position_embeddings
        tokens = self._tokenizer(
            list(instructions), padding=True, max_length=limit, truncation=True, return_tensors="pt"
        )
        return torch.as_tensor(self._model(**tokens).text_embeds)
