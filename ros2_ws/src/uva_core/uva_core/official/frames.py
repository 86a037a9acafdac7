# SPDX-License-Identifier: Apache-2.0
"""Which steps of a recorded sequence the published model sees as frames, and which actions it predicts.

A sequence has an even number of steps: the first half is history and ends with the present, the second half is future.
"""

from __future__ import annotations

import itertools
import random

import torch
from torch import Tensor


def even_frames(steps: int, count: int, first: int = 3) -> list[int]:
    """Return `count` evenly spaced steps out of `steps`: k * stride + first, whatever the stride (official rule).

    Raises:
        ValueError: the steps do not divide into `count` equal strides, or a frame lies beyond the last step.
    """
    if count < 1 or steps % count:
        raise ValueError(f"{steps} steps do not divide into {count} frames")
    stride = steps // count
    frames = [k * stride + first for k in range(count)]
    if frames[-1] >= steps:
        raise ValueError(f"a stride of {stride} from step {first} leads beyond {steps} steps")
    return frames


def history_choices(steps: int = 16, count: int = 4) -> list[tuple[int, ...]]:
    """Return all non-decreasing choices of `count` out of `steps` that end at the newest: mixed history frequency."""
    return [(*older, steps - 1) for older in itertools.combinations_with_replacement(range(steps), count - 1)]


def mixed_frames(steps: int, count: int, source: random.Random) -> list[int]:
    """Return `even_frames` whose history half is replaced by a random one of `history_choices`."""
    history = source.choice(history_choices(steps // 2, count // 2))
    return [*history, *even_frames(steps, count)[count // 2 :]]


def action_steps(steps: int, first_action_step: int, *, past: bool) -> tuple[range | None, range]:
    """Return the steps of the past and of the future actions around the present.

    Args:
        steps: of the images, half of them history.
        first_action_step: how many steps after the present the first future action is: 0 (`shift_action`) or 1.
        past: past actions are an input; the sequence of actions then begins one step before that of the images.

    Returns:
        Past (None where the sequence does not reach back that far) and future actions, `steps` / 2 each.

    Raises:
        ValueError: the steps have no two halves, or another first step.
    """
    if steps % 2:
        raise ValueError(f"{steps} steps have no two halves")
    if first_action_step not in (0, 1):
        raise ValueError(f"the first action is 0 or 1 steps after the present, not {first_action_step}")
    half = steps // 2
    first = half - 1 + first_action_step + past
    return range(first - half, first) if first >= half else None, range(first, first + half)


def gather_steps(values: Tensor, index: Tensor) -> Tensor:
    """Pick steps of each sample. (B, T, n), (B, k) integers -> (B, k, n)."""
    return torch.take_along_dim(values, index[..., None], dim=1)
