# SPDX-License-Identifier: Apache-2.0
"""TODO."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from uva_core.modes import RULES, MaskMode
from uva_core.network.inputs import ModelInputs
from uva_core.network.masking import training_mask
from uva_core.training.batch import TrainingBatch, TrainingDraw


def mode_inputs(batch: TrainingBatch, modes: Sequence[MaskMode], draw: TrainingDraw) -> tuple[ModelInputs, Tensor]:
    """Hide what each sample's mode does not give. Returns the inputs and the mask (B, N) of hidden positions."""
    rules = [RULES[mode] for mode in modes]
    mask = training_mask(draw.orders, draw.mask_ratios)
    future_given = torch.tensor([rule.future_given for rule in rules])
    future_masked = torch.tensor([rule.future_masked for rule in rules])
    hidden = ~future_given[:, None] & (mask | ~future_masked[:, None])
    inputs = ModelInputs(
        history=batch.history,
        future=batch.future,
        future_missing=hidden,
        history_missing=torch.tensor([not rule.history_given for rule in rules]),
        actions=batch.actions,
        actions_missing=torch.tensor([not rule.actions_given for rule in rules]),
        past_actions=batch.past_actions,
        past_actions_missing=draw.past_actions_missing,
        proprioception=batch.proprioception,
        wrist_history=batch.wrist_history,
        wrist_future=batch.wrist_future,
        text=batch.text,
        text_missing=draw.text_missing,
    )
    return inputs, mask
