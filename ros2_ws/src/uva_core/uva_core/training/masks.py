# SPDX-License-Identifier: Apache-2.0
"""What each sample of a batch sees and what it is scored on, by its mask mode (paper, section III-D).

Modes are Python values, so which samples are meant is known without looking into a tensor. Neighbours of equal
kind are taken together, as slices and constants that are made on the device: an index tensor would have to be copied to
it, which waits until the device has done all earlier work.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from uva_core.modes import RULES, MaskMode
from uva_core.network.inputs import ModelInputs
from uva_core.network.masking import training_mask
from uva_core.training.batch import TrainingBatch, TrainingDraw


def flags(values: Sequence[bool], device: torch.device) -> Tensor:
    """Return `values` as (B,) bool on `device`."""
    return torch.cat([torch.full((len(list(run)),), value, device=device) for value, run in groupby(values)])


def select(x: Tensor, chosen: Sequence[bool], dim: int = 0) -> Tensor:
    """Return the entries of `x` along `dim` for which `chosen`, one bool for each entry, is True; at least one is."""
    runs = [(keep, len(list(run))) for keep, run in groupby(chosen)]
    parts = x.split([length for _, length in runs], dim)
    return torch.cat([part for (keep, _), part in zip(runs, parts, strict=True) if keep], dim)


def mode_inputs(batch: TrainingBatch, modes: Sequence[MaskMode], draw: TrainingDraw) -> tuple[ModelInputs, Tensor]:
    """Hide what each sample's mode does not give.

    Args:
        batch: B windows.
        modes: B modes.
        draw: the step's randomness.

    Returns:
        The inputs of the network, and the mask (B, N) of the positions whose frames are to be predicted.
    """
    rules, device = [RULES[mode] for mode in modes], batch.history.device
    mask = training_mask(draw.orders, draw.mask_ratios)
    future_given = flags([rule.future_given for rule in rules], device)
    future_masked = flags([rule.future_masked for rule in rules], device)
    no_past = [missing for missing in (draw.past_actions_missing, batch.past_actions_missing) if missing is not None]
    inputs = ModelInputs(
        history=batch.history,
        future=batch.future,
        future_missing=~future_given[:, None] & (mask | ~future_masked[:, None]),
        history_missing=flags([not rule.history_given for rule in rules], device),
        actions=batch.actions,
        actions_missing=flags([not rule.actions_given for rule in rules], device),
        past_actions=batch.past_actions,
        past_actions_missing=torch.stack(no_past).any(dim=0) if no_past else None,
        proprioception=batch.proprioception,
        wrist_history=batch.wrist_history,
        wrist_future=batch.wrist_future,
        text=batch.text,
        text_missing=draw.text_missing,
    )
    return inputs, mask
