# SPDX-License-Identifier: Apache-2.0
"""Spacings of the official diffusion code as schedulers of diffusers: which timesteps of the training are kept."""

from __future__ import annotations

import numpy as np
from diffusers import DDPMScheduler

from uva_core.diffusion.schedule import Constants, Scheduler, make_scheduler


def spaced_timesteps(train_timesteps: int, spacing: str) -> list[int]:
    """Return the timesteps that a spacing keeps, ascending.

    Args:
        train_timesteps: length of the training schedule.
        spacing: `16`: that many, evenly spaced with both ends; `5,3`: the schedule in that many equal sections, so many
            of each; `ddim16`: the smallest whole stride from 0 that gives that many.

    Raises:
        ValueError: no such stride, or more timesteps than a section has.
    """
    if spacing.startswith("ddim"):
        wanted = int(spacing.removeprefix("ddim"))
        for stride in range(1, train_timesteps):
            kept = range(0, train_timesteps, stride)
            if len(kept) == wanted:
                return list(kept)
        raise ValueError(f"no whole stride keeps {wanted} of {train_timesteps} timesteps")
    timesteps = []
    sections = np.array_split(np.arange(train_timesteps), spacing.count(",") + 1)
    for section, count in zip(sections, spacing.split(","), strict=True):
        if not 1 <= int(count) <= len(section):
            raise ValueError(f"cannot keep {count} of {len(section)} timesteps")
        timesteps += [int(t) for t in np.linspace(section[0], section[-1], int(count)).round()]
    return timesteps


def spaced_scheduler(train_timesteps: int, spacing: str, clip: float = 0.0) -> DDPMScheduler:
    """Return a `ddpm` scheduler, see `make_scheduler`, set to a spacing, see `spaced_timesteps`.

    Raises:
        ValueError: there is no such spacing.
    """
    timesteps = spaced_timesteps(train_timesteps, spacing)
    scheduler: DDPMScheduler = make_scheduler("ddpm", train_timesteps, len(timesteps), clip)
    scheduler.set_timesteps(timesteps=timesteps[::-1])
    return scheduler


def constants_of(scheduler: Scheduler) -> Constants:
    """Return the constants of the timesteps to which a scheduler is set: betas are those between the kept ones."""
    alpha_bar = scheduler.alphas_cumprod[scheduler.timesteps.flip(0)].numpy()
    return Constants.of(1 - alpha_bar / np.append(1.0, alpha_bar[:-1]))
