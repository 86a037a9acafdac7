# SPDX-License-Identifier: Apache-2.0
"""Training recipes: every number a run depends on, kept with the preset, and written to the run's folder."""

from __future__ import annotations

from dataclasses import dataclass, field

from uva_core.modes import MaskMode


@dataclass(frozen=True)
class TokenizerRecipe:
    """How the image tokenizer is trained."""

    steps: int = 3000
    batch_size: int = 32
    learning_rate: float = 1.5e-3
    warmup_steps: int = 100
    kl_weight: float = 1e-3
    l1_weight: float = 0.3  # added to the squared error
    foreground_weight: float = 6.0  # extra weight of pixels that differ from the median image (objects, arm)

    def __post_init__(self) -> None:
        """Refuse a recipe that trains nothing."""
        if self.steps < 1 or self.batch_size < 1:
            raise ValueError(f"nothing to train: {self.steps} steps of {self.batch_size} frames")


@dataclass(frozen=True)
class UvaRecipe:
    """How the network is trained. Optimizer and schedule as published, except where the preset says otherwise."""

    steps: int = 100_000
    learning_rate: float = 1e-4
    warmup_steps: int = 1000
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.02  # not on biases, norms and embeddings
    gradient_clip: float = 1.0
    ema_power: float = 0.75
    ema_max: float = 0.9999
    action_draws: int = 1  # timesteps drawn per action and step
    video_only_steps: int = 0  # first stage: video and forward dynamics only
    normalizer_minimum_range: float = 1e-4  # dimensions that vary less are scaled as if they varied this much
    normalizer_outliers: float = 0.0  # fraction of samples at either end that may be scaled beyond [-1, 1]
    windows: dict[str, int] = field(default_factory=dict)  # windows per step and process, by mode

    @property
    def trained_modes(self) -> tuple[str, ...]:
        """Values of the mask modes that are trained."""
        return tuple(name for name, count in self.windows.items() if count)

    def modes(self, step: int) -> list[MaskMode]:
        """Return the mode of each window of a batch at `step`: fixed counts, so every mode is in every batch."""
        modes = [MaskMode.parse(name) for name, count in self.windows.items() for _ in range(count)]
        if step < self.video_only_steps:
            video = (MaskMode.VIDEO, MaskMode.FORWARD_DYNAMICS)
            return [mode if mode in video else video[i % 2] for i, mode in enumerate(modes)]
        return modes
