# SPDX-License-Identifier: Apache-2.0
"""Frames as latents: encoded once, kept on disk, and put together to the batches of the training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from uva_core import images
from uva_core.checkpoint import safetensors_file as checkpoint
from uva_core.data.demonstrations import Demonstrations
from uva_core.data.windows import Windows
from uva_core.modes import MaskMode
from uva_core.policy.policy import UvaPolicy
from uva_core.training.batch import TrainingBatch
from uva_core.training.masks import flags

LATENTS_FILE = "latents_{}.safetensors"  # of each data set

IMITATION = (MaskMode.POLICY, MaskMode.POLICY_PLANNER)


@torch.no_grad()
def encode_frames(policy: UvaPolicy, frames: NDArray[np.uint8], chunk: int = 256) -> dict[str, Tensor]:
    """Encode every frame.

    Args:
        policy: the tokenizer and how frames are resized for it.
        frames: (T, H, W, 3) uint8 RGB, or what is sliced like it.
        chunk: frames that are in memory at once.

    Returns:
        `mean` and `std` (T, C, H, W) of the posterior, unscaled.
    """
    config = policy.config
    parts: dict[str, list[Tensor]] = {"mean": [], "std": []}
    for start in tqdm(range(0, frames.shape[0], chunk), desc="encoding frames", unit="chunk"):
        pictures = np.asarray(frames[start : start + chunk])
        prepared = images.prepare(pictures, config.tokenizer.image_size, config.observation.resize)
        for name, value in zip(parts, policy.tokenizer.moments(prepared), strict=True):
            parts[name].append(value)
    # Noise is drawn in the order of memory: the layout of a convolution would make it differ from what the cache gives.
    return {name: torch.cat(values).contiguous() for name, values in parts.items()}


def _digest(pictures: Any) -> str:
    """Return a hash of every hundredth picture: data rendered anew with the same poses has others."""
    digest = hashlib.sha256()
    for index in range(0, pictures.shape[0], 100):
        digest.update(np.asarray(pictures[index]).tobytes())
    return digest.hexdigest()


def cached_latents(policy: UvaPolicy, data: Demonstrations, path: Path) -> dict[str, Tensor]:
    """Encode the frames, or read them from `path` if the same tokenizer encoded frames of the same data before.

    Returns:
        As `encode_frames`, and the same of the wrist camera as `wrist_mean` and `wrist_std` where the model sees one.
    """
    model = policy.config.model
    wrist = model.wrist_history or model.wrist_future
    weights = torch.cat([p.detach().flatten() for p in policy.tokenizer.parameters()])
    key = {
        "frames": len(data),
        "poses": hashlib.sha256(data.pose.tobytes()).hexdigest(),
        "pictures": _digest(data.images),
        "wrist_pictures": _digest(data.wrist_images) if wrist else "",
        "image_size": policy.config.tokenizer.image_size,
        "tokenizer": hashlib.sha256(weights.cpu().numpy().tobytes()).hexdigest(),
        "resize": policy.config.observation.resize,
    }
    if path.exists():
        latents, found = checkpoint.load(path)
        if found == key:
            return latents
    latents = encode_frames(policy, data.images)
    if wrist:
        latents |= {f"wrist_{name}": t for name, t in encode_frames(policy, data.wrist_images).items()}
    checkpoint.save(path, latents, key)
    return latents


class LatentWindows:
    """Batches of windows over the latents of all demonstrations, in memory.

    Attributes:
        latents: as returned by `cached_latents`, of all T steps.
        windows: T windows.
        actions, expert_actions, past_actions, proprioception: those of the windows, normalized; None where they are.
    """

    def __init__(self, policy: UvaPolicy, latents: dict[str, Tensor], windows: Windows) -> None:
        """Normalize the windows; a fresh sample of the posterior of each frame is drawn at every use."""
        self.config, self.windows, self.latents = policy.config, windows, latents
        self.actions = policy.action_normalizer.normalize(windows.actions)
        self.expert_actions = policy.action_normalizer.normalize(windows.expert_actions)
        self.past_actions = self.proprioception = None
        if windows.past_actions is not None:
            self.past_actions = policy.action_normalizer.normalize(windows.past_actions)
        if windows.proprioception is not None:
            self.proprioception = policy.proprioception_normalizer.normalize(windows.proprioception)

    def batch(self, modes: Sequence[MaskMode]) -> TrainingBatch:
        """Draw one window per mode from torch's global generator.

        Modes that imitate only get windows whose actions are all an expert's, and the expert's actions as the target.
        """
        windows, model = self.windows, self.config.model
        imitate = flags([mode in IMITATION for mode in modes], windows.history.device)
        anywhere = torch.randint(len(windows), (len(modes),))
        imitable = windows.imitable[torch.randint(len(windows.imitable), (len(modes),))]
        index = torch.where(imitate, imitable, anywhere)
        history, future = windows.history[index], windows.future[index]
        return TrainingBatch(
            history=self._sample(history),
            future=self._sample(future),
            actions=torch.where(imitate[:, None, None], self.expert_actions[index], self.actions[index]),
            past_actions=_rows(self.past_actions, index),
            past_actions_missing=_rows(windows.past_actions_missing, index),
            proprioception=_rows(self.proprioception, index),
            wrist_history=self._sample(history, "wrist_") if model.wrist_history else None,
            wrist_future=self._sample(future, "wrist_") if model.wrist_future else None,
            text=_rows(windows.text, index),
        )

    def _sample(self, steps: Tensor, camera: str = "") -> Tensor:
        """Scaled latents (B, h, C, H, W) of the frames at `steps` (B, h)."""
        mean = self.latents[f"{camera}mean"][steps]
        std = self.latents[f"{camera}std"][steps]
        return (mean + std * torch.randn_like(mean)) * self.config.tokenizer.scaling_factor


def _rows(values: Tensor | None, index: Tensor) -> Tensor | None:
    return None if values is None else values[index]
