# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from uva_core.diffusion.config import SAMPLERS
from uva_core.diffusion.denoising import sample
from uva_core.diffusion.schedule import make_schedule
from uva_core.diffusion.training import TrainingDiffusion
from uva_core.official.spacing import spaced_schedule


def perfect(clean):
    """A denoiser that knows the clean rows, and claims the middle of the variance range."""

    def net(x, timestep, condition):
        diffusion = TrainingDiffusion(1000)
        epsilon = (x - diffusion.constant("signal", timestep) * clean) / diffusion.constant("sigma", timestep)
        return torch.cat([epsilon, torch.zeros_like(x)], dim=-1)

    return net


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_perfect_denoiser_gives_the_clean_rows(sampler):
    clean = torch.tensor([[0.3, -0.7], [0.9, 0.0]])
    noise = torch.randn(2, 2, generator=torch.Generator().manual_seed(0))
    result = sample(perfect(clean), torch.zeros(2, 1), noise, make_schedule(sampler, 1000, 16, clip=1.0))
    torch.testing.assert_close(result, clean, atol=1e-3, rtol=0)


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
    schedule = spaced_schedule(1000, "5,3", clip=1.0)
    torch.testing.assert_close(sample(perfect(clean), torch.zeros(2, 1), noise, schedule), clean, atol=1e-3, rtol=0)
