# SPDX-License-Identifier: Apache-2.0
"""Weights and configuration of a trained UVA as one: load, save, move to a device, and what the checkpoint can do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from uva_core import images
from uva_core.checkpoint import safetensors_file as checkpoint
from uva_core.config import UvaConfig
from uva_core.modes import RULES, MaskMode
from uva_core.network.language import InstructionTable
from uva_core.network.model import Uva
from uva_core.network.tokenizer import Tokenizer
from uva_core.normalizer import LinearNormalizer
from uva_core.observation.buffer import ObservationBuffer
from uva_core.observation.observation import Observation
from uva_core.serialization import to_dict

if TYPE_CHECKING:
    from typing_extensions import Self


class TrainedModel(nn.Module):
    """Tokenizer, network and normalizers, with the configuration that makes them one."""

    def __init__(self, config: UvaConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = Tokenizer(config.tokenizer)
        self.model = Uva(config.model)
        self.action_normalizer = LinearNormalizer(config.model.action_dim)
        self.proprioception_normalizer = LinearNormalizer(config.model.proprioception_dim)
        self.instructions = InstructionTable(config.instructions, config.model.text_dim)
        self._warned: set[MaskMode] = set()
        self.eval()

    @classmethod
    def load(cls, path: str | Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Self:
        """Load a checkpoint written by `save` to a device, see `to`.

        Raises:
            checkpoint.CheckpointError: missing, damaged, or with tensors that do not fit its configuration.
        """
        return checkpoint.load_module(path, cls, UvaConfig).to(device, dtype)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Self:  # type: ignore[override]
        """Move everything to `device`; tokenizer and network compute in `dtype`.

        Normalizers stay in float32, because actions in metres need its digits.
        """
        super().to(device)
        self.tokenizer.to(dtype=dtype)
        self.model.to(dtype=dtype)
        return self

    @property
    def device(self) -> torch.device:
        """Device that computes."""
        return self.action_normalizer.scale.device

    def save(self, path: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write weights (as `dtype` when given), normalizers and configuration to one safetensors file."""
        weights = {name for name, _ in self.named_parameters()}
        tensors = {n: t.to(dtype) if dtype and n in weights else t for n, t in self.state_dict().items()}
        checkpoint.save(path, tensors, to_dict(self.config))

    def make_buffer(self, *, pad_start: bool = False) -> ObservationBuffer:
        """Return an empty observation buffer that feeds this policy."""
        return ObservationBuffer(self.config.observation, self.config.tokenizer.image_size, pad_start=pad_start)

    def blank_observation(self) -> Observation:
        """Return grey frames and a robot at the origin: for warming up and timing."""
        c, size = self.config.model, self.config.tokenizer.image_size
        frames = torch.zeros(c.frames, 3, size, size)
        return Observation(
            0.0,
            frames,
            np.tile(np.eye(4), (c.frames, 1, 1)),
            np.zeros(c.frames),
            wrist_frames=frames if c.wrist_history else None,
            state=np.zeros((c.proprioception_steps, c.proprioception_dim)),
            text=torch.zeros(c.text_dim) if c.text_dim else None,
        )

    def impossible(self, mode: MaskMode) -> str | None:
        """Return why the checkpoint cannot be used in `mode` at all, else None."""
        if RULES[mode].decodes_actions and self.config.model.action_head is None:
            return f"this checkpoint has no action head: mask mode '{mode.value}' is not possible"
        return None

    def untrained(self, mode: MaskMode) -> str | None:
        """Return a warning if the checkpoint is known not to have been trained in `mode`, else None."""
        trained = self.config.trained_modes
        if not trained or mode.value in trained:
            return None
        return f"this checkpoint was never trained in mask mode '{mode.value}', only in: {', '.join(trained)}"

    @property
    def action_times_s(self) -> NDArray[np.float64]:
        """(T,) when each action is to be reached, after the newest observation."""
        return self.config.observation.action_times_s(self.config.model.action_steps)

    @property
    def frame_times_s(self) -> NDArray[np.float64]:
        """(h,) times of the predicted frames, after the newest observation."""
        return self.config.observation.frame_times_s

    @torch.no_grad()
    def reconstruct(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Send camera images through the tokenizer and back: (n, H, W, 3) -> (n, S, S, 3) uint8 RGB."""
        c = self.config
        frames = images.prepare(pictures, c.tokenizer.image_size, c.observation.resize)
        weights = next(self.tokenizer.parameters())
        return images.to_uint8(self.tokenizer.decode(self.tokenizer.encode(frames.to(weights))).float())
