# SPDX-License-Identifier: Apache-2.0
"""TODO."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from uva_core import images
from uva_core.checkpoint import safetensors_file as checkpoint
from uva_core.data.readers.umi_zarr import ReplayBuffer
from uva_core.data.windows import Windows
from uva_core.modes import MaskMode
from uva_core.policy.policy import UvaPolicy
from uva_core.training.batch import TrainingBatch

LATENTS_FILE = "latents_{}.safetensors"  # of each data set


IMITATION = (MaskMode.POLICY, MaskMode.POLICY_PLANNER)


def encode_frames(policy: UvaPolicy, buffer: ReplayBuffer, chunk: int = 256) -> dict[str, Tensor]:
    """Posterior `mean` and `std` (T, C, H, W) of every frame, unscaled."""
    config = policy.config
    parts: dict[str, list[Tensor]] = {"mean": [], "std": []}
    with torch.no_grad():
        for start in tqdm(range(0, len(buffer), chunk), desc="encoding frames", unit="chunk"):
            pictures = buffer.images[start : start + chunk]
            frames = images.prepare(pictures, config.tokenizer.image_size, config.observation.resize)
            for name, value in zip(parts, policy.tokenizer.moments(frames), strict=True):
                parts[name].append(value)
    # Noise is drawn in the order of memory: the layout of a convolution would make it differ from what the cache gives.
    return {name: torch.cat(values).contiguous() for name, values in parts.items()}


def cached_latents(policy: UvaPolicy, buffer: ReplayBuffer, path: Path) -> dict[str, Tensor]:
    """Encode the frames, or read them from `path` if they were encoded by the same tokenizer before."""
    weights = torch.cat([p.detach().flatten() for p in policy.tokenizer.parameters()])
    key = {"frames": len(buffer), "tokenizer": hashlib.sha256(weights.numpy().tobytes()).hexdigest()}
    if path.exists():
        latents, found = checkpoint.load(path)
        if found == key:
            return latents
    latents = encode_frames(policy, buffer)
    checkpoint.save(path, latents, key)
    return latents


class LatentWindows:
    """Batches of windows over the latents of a whole replay buffer, in memory."""

    def __init__(self, policy: UvaPolicy, latents: dict[str, Tensor], windows: Windows) -> None:
        """Take `latents` from `encode_frames`; a fresh sample of the posterior is drawn at every use."""
        self.policy, self.windows = policy, windows
        self.mean, self.std = latents["mean"], latents["std"]
        self.actions = policy.action_normalizer.normalize(windows.actions)
        self.expert_actions = policy.action_normalizer.normalize(windows.expert_actions)
        self.proprioception = policy.proprioception_normalizer.normalize(windows.proprioception)

    def _latents(self, index: Tensor) -> Tensor:
        mean = self.mean[index]
        return (mean + self.std[index] * torch.randn_like(mean)) * self.policy.config.tokenizer.scaling_factor

    def batch(self, modes: list[MaskMode]) -> TrainingBatch:
        """Draw one window per mode; modes that imitate only get windows that an expert would have acted."""
        imitate = torch.tensor([mode in IMITATION for mode in modes])
        anywhere = torch.randint(len(self.windows), (len(modes),))
        imitable = self.windows.imitable[torch.randint(len(self.windows.imitable), (len(modes),))]
        index = torch.where(imitate, imitable, anywhere)
        return TrainingBatch(
            history=self._latents(self.windows.history[index]),
            future=self._latents(self.windows.future[index]),
            actions=torch.where(imitate[:, None, None], self.expert_actions[index], self.actions[index]),
            proprioception=self.proprioception[index] if self.policy.config.model.proprioception_dim else None,
        )
