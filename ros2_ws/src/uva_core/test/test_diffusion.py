# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from uva_core.diffusion.config import SAMPLERS
from uva_core.diffusion.denoising import sample
from uva_core.diffusion.schedule import make_scheduler
from uva_core.diffusion.training import TrainingDiffusion
from uva_core.official.spacing import spaced_scheduler, spaced_timesteps


def perfect(clean):
    """A denoiser that knows the clean rows, and claims the middle of the variance range."""

    def net(x, timestep, condition):
        diffusion = TrainingDiffusion(1000)
        epsilon = (x - diffusion._at("signal", timestep) * clean) / diffusion._at("sigma", timestep)
        return torch.cat([epsilon, torch.zeros_like(x)], dim=-1)

    return net


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_perfect_denoiser_gives_the_clean_rows(sampler):
    clean = torch.tensor([[0.3, -0.7], [0.9, 0.0]])
    noise = torch.randn(2, 2, generator=torch.Generator().manual_seed(0))
    result = sample(perfect(clean), torch.zeros(2, 1), noise, make_scheduler(sampler, 1000, 16, clip=1.0))
    torch.testing.assert_close(result, clean, atol=1e-3, rtol=0)


def test_sixteen_steps_are_the_published_ones():
    timesteps = make_scheduler("ddpm", 1000, 16, clip=1.0).timesteps.tolist()
    assert timesteps[::-1] == [0, 67, 133, 200, 266, 333, 400, 466, 533, 599, 666, 733, 799, 866, 932, 999]


def test_wrong_samplers_and_step_counts_are_refused():
    with pytest.raises(ValueError, match="unknown sampler 'magic'.*ddpm"):
        make_scheduler("magic", 1000, 16, clip=1.0)
    with pytest.raises(ValueError, match="1 denoising steps; choose 2 to 1000"):
        make_scheduler("ddpm", 1000, 1, clip=1.0)


def test_the_variational_term_does_not_train_the_noise_prediction():
    torch.manual_seed(0)
    output = torch.randn(8, 4, requires_grad=True)
    terms = TrainingDiffusion(1000).terms(
        lambda x, t, c: output, torch.rand(8, 2), torch.zeros(8, 1), torch.arange(8) * 100, torch.randn(8, 2)
    )
    terms.variational.sum().backward()
    assert output.grad is not None
    assert (output.grad[:, :2] == 0).all()
    assert (output.grad[:, 2:] != 0).all()


def test_sampling_runs_on_uneven_timesteps():
    clean = torch.tensor([[0.3, -0.7], [0.9, 0.0]])
    noise = torch.randn(2, 2, generator=torch.Generator().manual_seed(0))
    scheduler = spaced_scheduler(1000, "5,3", clip=1.0)
    torch.testing.assert_close(sample(perfect(clean), torch.zeros(2, 1), noise, scheduler), clean, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("spacing", "message"), [("ddim600", "no whole stride keeps 600"), ("501,3", "keep 501 of 500")]
)
def test_spacings_that_cannot_be_kept_are_refused(spacing, message):
    with pytest.raises(ValueError, match=message):
        spaced_timesteps(1000, spacing)
