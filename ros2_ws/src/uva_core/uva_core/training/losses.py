# SPDX-License-Identifier: Apache-2.0
"""The training loss (paper, section III-D): each sample sees what its mode gives and is scored on what it decodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from uva_core.diffusion.training import TrainingDiffusion, TrainingTerms
from uva_core.modes import RULES, MaskMode
from uva_core.network.heads import SequenceHead
from uva_core.network.model import Uva
from uva_core.training.batch import RowDraw, TrainingBatch, TrainingDraw
from uva_core.training.masks import mode_inputs, select


@dataclass
class Losses:
    """Scalars, and what they come from: z, the mask (B, N) of hidden positions, and per-row terms."""

    total: Tensor
    video: Tensor
    action: Tensor
    proprioception: Tensor
    z: Tensor
    mask: Tensor
    terms: dict[str, TrainingTerms] = field(default_factory=dict)  # per row, by head
    cameras: dict[str, Tensor] = field(default_factory=dict)  # the parts of `video`: "video" and "wrist"


def training_losses(
    model: Uva,
    diffusion: TrainingDiffusion,
    batch: TrainingBatch,
    modes: Sequence[MaskMode],
    draw: TrainingDraw,
) -> Losses:
    """Return the losses of one step.

    Video is scored on masked tokens of the samples whose mode decodes video (with a wrist camera: the sum of both
    cameras), actions on those whose mode decodes actions, robot state (where there is a head) on all. With one mode
    for all samples this is the published loss.

    Args:
        model: the network, or a wrapper that forwards `ModelInputs` and has its attributes.
        diffusion: constants of the training schedule.
        batch: B windows.
        modes: B modes.
        draw: the step's randomness.
    """
    inputs, mask = mode_inputs(batch, modes, draw)
    z = model(inputs)
    zero = z.sum() * 0.0  # a loss without samples stays in the graph
    losses = Losses(zero, zero, zero, zero, z, mask)

    video = [RULES[mode].decodes_video for mode in modes]
    if any(video):
        weight = select(mask, video).repeat(1, model.config.frames).float()[None].expand(len(draw.video.noise), -1, -1)
        cameras = {"video": (model.video_head, batch.future, draw.video)}
        if draw.wrist is not None and batch.wrist_future is not None:
            cameras["wrist"] = (model.wrist_video_head, batch.wrist_future, draw.wrist)
        for name, (head, frames, rows) in cameras.items():
            clean, latent = model.patchify(select(frames, video)), select(z, video)
            terms = losses.terms[name] = _row_terms(head.net, diffusion, clean, latent, rows, video)
            losses.cameras[name] = (terms.loss * weight.flatten()).sum() / weight.sum()
            losses.video = losses.video + losses.cameras[name]
    action = [RULES[mode].decodes_actions for mode in modes]
    if any(action):
        terms = losses.terms["action"] = _head_terms(
            model.action_head, diffusion, batch.actions, z, draw.actions, action
        )
        losses.action = terms.loss.mean()
    if draw.proprioception is not None and batch.proprioception_target is not None:
        everyone = [True] * len(modes)
        terms = losses.terms["proprioception"] = _head_terms(
            model.proprioception_head, diffusion, batch.proprioception_target, z, draw.proprioception, everyone
        )
        losses.proprioception = terms.loss.mean()
    losses.total = losses.video + losses.action + losses.proprioception
    return losses


def _head_terms(
    head: SequenceHead, diffusion: TrainingDiffusion, clean: Tensor, z: Tensor, draw: RowDraw, chosen: Sequence[bool]
) -> TrainingTerms:
    return _row_terms(head.net, diffusion, select(clean, chosen), head.condition(select(z, chosen)), draw, chosen)


def _row_terms(
    net: torch.nn.Module,
    diffusion: TrainingDiffusion,
    clean: Tensor,
    condition: Tensor,
    draw: RowDraw,
    chosen: Sequence[bool],
) -> TrainingTerms:
    """Terms of every draw of every row: (draws * B' * L,)."""
    draws = len(draw.noise)
    return diffusion.terms(
        net,
        clean.flatten(0, 1).repeat(draws, 1),
        condition.flatten(0, 1).repeat(draws, 1),
        select(draw.timestep, chosen, 1).flatten(),
        select(draw.noise, chosen, 1).flatten(0, 2),
    )
