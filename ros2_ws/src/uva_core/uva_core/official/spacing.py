# SPDX-License-Identifier: Apache-2.0
"""Uneven spacings of the training schedule, as the official code writes them."""

from __future__ import annotations

import numpy as np

from uva_core.diffusion.schedule import Constants, Schedule, cosine_betas, ddpm_steps


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


def spaced_schedule(train_timesteps: int, spacing: str, clip: float = 0.0) -> Schedule:
    """Return a `ddpm` schedule, see `make_schedule`, of a spacing, see `spaced_timesteps`.

    Raises:
        ValueError: there is no such spacing.
    """
    alpha_bar = np.cumprod(1 - cosine_betas(train_timesteps))
    return Schedule(ddpm_steps(alpha_bar, np.array(spaced_timesteps(train_timesteps, spacing)[::-1])), clip)


def constants_of(schedule: Schedule, train_timesteps: int) -> Constants:
    """Return the constants of the timesteps that a schedule takes: betas are those between the kept ones."""
    alpha_bar = np.cumprod(1 - cosine_betas(train_timesteps))[schedule.timesteps[::-1]]
    return Constants.of(1 - alpha_bar / np.append(1.0, alpha_bar[:-1]))
