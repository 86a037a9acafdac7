# SPDX-License-Identifier: Apache-2.0
"""Cases of the whole network: losses of every mode, their parts, and gradients."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from uva_core.diffusion.training import TrainingDiffusion
from uva_core.modes import MaskMode
from uva_core.official import names as official
from uva_core.official.parity.network import WRIST_NAMES, NetworkCase, RecordedMode
from uva_core.training.batch import RowDraw, TrainingBatch, TrainingDraw
from uva_core.training.losses import Losses, training_losses

Results = Iterator[tuple[str, Tensor]]


def results(network: NetworkCase) -> Results:
    """Compute all losses that such a case can record."""
    for mode in network.modes():
        yield from _training(network, mode)
    for mode in network.modes():  # language and past actions hidden at random
        name = f"train_cond_dropout/{mode.name}"
        if network.records(name):
            yield from _parts(network, name, _losses(network, mode, dropping=True))


def _losses(network: NetworkCase, mode: RecordedMode, *, dropping: bool = False) -> Losses:
    diffusion, batch = TrainingDiffusion(network.config.train_timesteps), _batch(network, mode)
    return training_losses(network.model, diffusion, batch, [mode.mode] * network.batch, _draw(network, dropping))


def _training(network: NetworkCase, mode: RecordedMode) -> Results:
    name = f"train/{mode.name}"
    if not network.records(name):
        return
    losses = _losses(network, mode)
    yield from _parts(network, name, losses)
    labels = {"video": ("video",), "wrist": WRIST_NAMES, "action": ("action",), "proprioception": ("proprio",)}
    for head, terms in losses.terms.items():
        for label in labels[head]:
            yield f"{name}/{label}_mse", terms.mse.view(network.batch, -1)
            yield f"{name}/{label}_vb", terms.variational.view(network.batch, -1)
    yield "train/mask", losses.mask.float()
    recorded = network.case.get(f"{name}/grad_norm")
    if recorded is not None:
        network.model.zero_grad()
        losses.total.backward()
        yield f"{name}/grad_norm", _gradient_norms(network, recorded)


def _parts(network: NetworkCase, name: str, losses: Losses) -> Results:
    yield f"{name}/loss", losses.total
    yield f"{name}/video_loss", losses.video
    for camera in ("video", "wrist"):
        yield f"{name}/{camera}_head_loss", losses.cameras.get(camera, torch.zeros(()))
    yield f"{name}/action_loss", losses.action
    yield f"{name}/proprio_loss", losses.proprioception
    yield f"{name}/z_probe", network.probe(losses.z)


def _batch(network: NetworkCase, mode: RecordedMode) -> TrainingBatch:
    case, c = network.case, network.config
    target = None
    if c.proprioception_target_dim:
        parts = official.state_target_parts(network.task)
        target = torch.cat([case[f"inputs/proprio/{key}_pred"] for key in parts], dim=-1)
    given = network.inputs(RecordedMode(MaskMode.VIDEO, mode.past_actions))
    return TrainingBatch(
        history=given.history,
        future=case["inputs/x"],
        actions=case["inputs/actions"],
        past_actions=given.past_actions,
        proprioception=given.proprioception,
        proprioception_target=target,
        wrist_history=given.wrist_history,
        wrist_future=network.wrist_latents("pred_second_image_z") if c.wrist_future else None,
        text=given.text,
    )


def _draw(network: NetworkCase, dropping: bool) -> TrainingDraw:
    """Return all randomness of the recorded training step; with `dropping`, language and past actions are hidden."""
    case, c = network.case, network.config

    def rows(*words: str) -> RowDraw:
        timestep, noise = case.find("train/t_", *words), case.find("train/noise_", *words)
        if timestep is None or noise is None:
            raise ValueError(f"{case.name} records no training noise for {' '.join(words)}")
        return RowDraw(
            timestep.long().expand(network.batch, -1)[None], noise.expand(network.batch, *noise.shape[1:])[None]
        )

    draw = TrainingDraw(
        orders=case["orders"].long(),
        mask_ratios=case["train/mask_rate"].expand(network.batch),
        video=rows("video"),
        actions=rows("action"),
        proprioception=rows("proprio") if c.proprioception_target_dim else None,
        wrist=rows("wrist") if c.wrist_future else None,
    )
    if dropping:
        numbers = [name for name in sorted(case.tensors) if name.startswith("train/") and "rand" in name]
        label = next((case[name] for name in numbers if "label" in name), None)
        past = next((case[name] for name in numbers if "label" not in name), None)
        draw.text_missing = None if label is None else label.flatten() < c.text_dropout
        # A past action is hidden where its number lies above the share of those that are kept.
        draw.past_actions_missing = None if past is None else past > 1 - c.past_action_dropout
    return draw


def _gradient_norms(network: NetworkCase, recorded: Tensor) -> Tensor:
    """Return norms in the recorded order. -1 says that a parameter gets no gradient, which here may be one of zeros."""
    ours = dict(network.model.named_parameters())
    norms = []
    for name in network.case.about["grad_norm_parameters"]:
        parameter = None if official.unused(name, network.config) else ours[official.our_name(name)]
        gradient = None if parameter is None else parameter.grad
        norms.append(0.0 if gradient is None else gradient.norm().item())
    result = torch.tensor(norms)
    return torch.where((result == 0) & (recorded < 0), recorded, result)
