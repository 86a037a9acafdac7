# SPDX-License-Identifier: Apache-2.0
"""How chunks and frames are denoised at inference."""

from __future__ import annotations

from dataclasses import dataclass

from uva_core.serialization import require_within

SAMPLERS = ("ddpm", "ddim", "dpmsolver++")
MIN_STEPS, MAX_STEPS = 2, 1000  # of denoising


@dataclass(frozen=True)
class SamplingConfig:
    """Sampler, steps and temperatures of the heads."""

    sampler: str = "ddpm"  # ddpm | ddim | dpmsolver++
    action_steps: int = 16
    action_temperature: float = 0.95
    video_steps: int = 16
    video_temperature: float = 0.95
    # Keeps predicted latents in [-clip, clip]; 0: no limit, as published. The first of few steps divides by 5e-5,
    # which a briefly trained network does not survive without.
    video_clip: float = 0.0

    def __post_init__(self) -> None:
        """Reject samplers and step counts that diffusers would refuse later."""
        if self.sampler not in SAMPLERS:
            raise ValueError(f"unknown sampler '{self.sampler}'; choose one of: {', '.join(SAMPLERS)}")
        require_within(self, MIN_STEPS, MAX_STEPS, "action_steps", "video_steps")
        require_within(self, 0.0, 100.0, "action_temperature", "video_temperature", "video_clip")
