# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from uva_core.diffusion.denoising import sample
from uva_core.diffusion.schedule import cosine_betas, make_schedule
from uva_core.official.spacing import spaced_timesteps

COMMON = {"num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "linspace"}
CLIP = {"clip_sample": True, "clip_sample_range": 1.0}


def prepared(scheduler, steps):
    """A scheduler of diffusers with the model's betas in double precision."""
    scheduler.betas = torch.from_numpy(cosine_betas(1000))
    scheduler.alphas = 1.0 - scheduler.betas
    scheduler.alphas_cumprod = torch.cumprod(scheduler.alphas, dim=0)
    scheduler.set_timesteps(steps)
    return scheduler


def network(x, timestep, condition):
    """Some smooth function of everything, about as large as noise."""
    t = (timestep / 1000)[:, None]
    return torch.cat([torch.sin(3 * x + condition + t), torch.cos(x) * t], dim=-1)


@pytest.fixture
def rows():
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


CONDITION = torch.linspace(-1, 1, 5)[:, None]


@pytest.mark.parametrize("steps", [2, 5, 16, 100, 1000])
def test_ddpm_takes_the_steps_of_diffusers(rows, steps):
    scheduler = prepared(DDPMScheduler(variance_type="learned_range", **COMMON, **CLIP), steps)
    schedule = make_schedule("ddpm", 1000, steps, clip=1.0)
    assert schedule.timesteps == scheduler.timesteps.tolist()
    x = rows
    for t in scheduler.timesteps:
        output = network(x, t.expand(5), CONDITION)
        x = scheduler.step(output, t, x, generator=torch.Generator().manual_seed(int(t))).prev_sample
    noise = [torch.randn(5, 3, generator=torch.Generator().manual_seed(t)) for t in schedule.timesteps]
    ours = sample(network, CONDITION, rows, schedule, step_noise=torch.stack(noise))
    torch.testing.assert_close(ours, x, atol=2e-4, rtol=0)


def test_ddim_takes_the_steps_of_diffusers_where_its_stride_is_the_spacing(rows):
    # 1000 // 1000: elsewhere diffusers steps to timesteps that linspace does not contain.
    scheduler = prepared(DDIMScheduler(set_alpha_to_one=True, **COMMON, **CLIP), 1000)
    x = rows
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t.expand(5), CONDITION)[:, :3], t, x).prev_sample
    schedule = make_schedule("ddim", 1000, 1000, clip=1.0)
    torch.testing.assert_close(sample(network, CONDITION, rows, schedule), x, atol=1e-4, rtol=0)


@pytest.mark.parametrize("steps", [2, 3, 8, 16, 50])
def test_dpmsolver_takes_the_steps_of_diffusers(rows, steps):
    scheduler = prepared(
        DPMSolverMultistepScheduler(prediction_type="sample", lambda_min_clipped=-5.1, **COMMON), steps
    )
    schedule = make_schedule("dpmsolver++", 1000, steps, clip=1.0)
    assert schedule.timesteps == scheduler.timesteps.tolist()
    x = rows
    for t in scheduler.timesteps:
        alpha_bar = float(scheduler.alphas_cumprod[t])
        epsilon = network(x, t.expand(5), CONDITION)[:, :3]
        clean = ((x - np.sqrt(1 - alpha_bar) * epsilon) / np.sqrt(alpha_bar)).clamp(-1, 1)
        x = scheduler.step(clean, t, x).prev_sample
    torch.testing.assert_close(sample(network, CONDITION, rows, schedule), x, atol=1e-4, rtol=0)


def test_sixteen_steps_are_the_published_ones():
    timesteps = make_schedule("ddpm", 1000, 16, clip=1.0).timesteps
    assert timesteps[::-1] == [0, 67, 133, 200, 266, 333, 400, 466, 533, 599, 666, 733, 799, 866, 932, 999]


def test_wrong_samplers_and_step_counts_are_refused():
    with pytest.raises(ValueError, match="unknown sampler 'magic'.*ddpm"):
        make_schedule("magic", 1000, 16, clip=1.0)
    with pytest.raises(ValueError, match="1 denoising steps; choose 2 to 1000"):
        make_schedule("ddpm", 1000, 1, clip=1.0)


@pytest.mark.parametrize(
    ("spacing", "message"), [("ddim600", "no whole stride keeps 600"), ("501,3", "keep 501 of 500")]
)
def test_spacings_that_cannot_be_kept_are_refused(spacing, message):
    with pytest.raises(ValueError, match=message):
        spaced_timesteps(1000, spacing)
