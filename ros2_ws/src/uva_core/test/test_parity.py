# SPDX-License-Identifier: Apache-2.0
"""The network computes the same function as the official implementation."""

from pathlib import Path

import pytest
import torch

from uva_core.diffusion import TrainingDiffusion, make_scheduler, sample
from uva_core.losses import training_losses
from uva_core.modes import RULES, MaskMode
from uva_core.official import UNUSED, our_name
from uva_core.parity import GoldenCase
from uva_core.sampling import generate_video, sample_actions

FOLDER = Path(__file__).parent / "golden"
TEMPERATURE = 0.95


@pytest.fixture(scope="module", params=sorted(p.name for p in FOLDER.iterdir() if p.is_dir()))
def case(request) -> GoldenCase:
    return GoldenCase(FOLDER / request.param)


def given(case: GoldenCase, mode: MaskMode):
    """The inputs of the first generation iteration of a mode."""
    if mode is MaskMode.INVERSE_DYNAMICS:
        return case.inputs(future=case["inputs/x"], history_missing=torch.ones(case.batch, dtype=torch.bool))
    if mode is MaskMode.FORWARD_DYNAMICS:
        return case.inputs(actions=case["inputs/actions"])
    return case.inputs()


@pytest.mark.parametrize("mode", MaskMode)
@torch.no_grad()
def test_joint_latent(case, mode):
    case.check_z(RULES[mode].official_name, case.model(given(case, mode)))


@pytest.mark.parametrize("mode", [MaskMode.POLICY, MaskMode.INVERSE_DYNAMICS])
@torch.no_grad()
def test_sampled_actions(case, mode):
    name = RULES[mode].official_name
    z = case.model(given(case, mode))
    case.check(f"{name}/action_cond", case.model.action_head.condition(z))
    noise, steps = case["noise/action_init"][0], case["noise/action_steps"][0].transpose(0, 1)
    scheduler = make_scheduler("ddpm", 1000, 16, clip=1.0)
    case.check(f"{name}/actions", sample_actions(case.model, z, scheduler, noise, steps, TEMPERATURE))
    chain: list[torch.Tensor] = []
    rows = case.model.action_head.condition(z).flatten(0, 1)
    sample(
        case.model.action_head.net,
        rows,
        noise.flatten(0, 1),
        scheduler,
        temperature=TEMPERATURE,
        step_noise=steps.transpose(0, 1).flatten(1, 2),
        chain=chain,
    )
    case.check(f"{name}/action_chain", torch.stack(chain).view_as(case[f"{name}/action_chain"]))
    if f"{name}/actions_temperature_1" in case:
        case.check(f"{name}/actions_temperature_1", sample_actions(case.model, z, scheduler, noise, steps, 1.0))


@pytest.mark.parametrize("iterations", [1, 4])
@pytest.mark.parametrize("mode", [MaskMode.VIDEO, MaskMode.FORWARD_DYNAMICS, MaskMode.POLICY_PLANNER])
def test_generated_video(case, mode, iterations):
    noise = case["noise/video_init"].expand(case.batch, -1, -1)
    steps = case["noise/video_steps"].expand(-1, case.batch, -1, -1).transpose(0, 1)
    scheduler = make_scheduler("ddpm", 1000, 10)
    *_, latents = generate_video(
        case.model, given(case, mode), scheduler, noise, steps, TEMPERATURE, case["orders"].long(), iterations
    )
    case.check(f"{RULES[mode].official_name}/iter{iterations}/video", latents)


@torch.no_grad()
def test_guidance(case):
    noise = torch.cat([case["heads/video_cfg2/noise_init"]] * 2)
    scheduler = make_scheduler("ddpm", 1000, 10)
    steps = case["heads/video_cfg2/noise_steps"]
    net = case.model.video_head.net
    result = sample(
        net, case["heads/video_cfg2/z"], noise, scheduler, temperature=TEMPERATURE, step_noise=steps, guidance=2.0
    )
    case.check("heads/video_cfg2/out", result)


@pytest.mark.parametrize("mode", MaskMode)
def test_training_losses(case, mode):
    name = f"train/{RULES[mode].official_name}"
    diffusion = TrainingDiffusion(case.model.config.train_timesteps)
    losses = training_losses(case.model, diffusion, case.training_batch(), [mode] * case.batch, case.training_draw())
    case.check(f"{name}/loss", losses.total)
    case.check(f"{name}/video_loss", losses.video)
    case.check(f"{name}/action_loss", losses.action)
    for kind, terms in (("video", losses.video_terms), ("action", losses.action_terms)):
        if f"{name}/{kind}_mse" in case:
            case.check(f"{name}/{kind}_mse", terms.mse.view(case.batch, -1))
            case.check(f"{name}/{kind}_vb", terms.variational.view(case.batch, -1))


def test_gradients_of_the_whole_loss(case):
    case.model.zero_grad()
    diffusion = TrainingDiffusion(case.model.config.train_timesteps)
    modes = [MaskMode.POLICY_PLANNER] * case.batch
    training_losses(case.model, diffusion, case.training_batch(), modes, case.training_draw()).total.backward()
    ours = dict(case.model.named_parameters())
    for name, norm in zip(case.case["grad_norm_parameters"], case["train/full_dynamic_model/grad_norm"], strict=True):
        if name.startswith(UNUSED):
            continue
        gradient = ours[our_name(name)].grad
        found = 0.0 if gradient is None else gradient.norm().item()
        assert found == pytest.approx(max(norm.item(), 0.0), rel=1e-4, abs=1e-5), name
