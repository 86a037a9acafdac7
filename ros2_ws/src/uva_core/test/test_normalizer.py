# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from uva_core.normalizer import LinearNormalizer


def test_limits_map_to_minus_one_and_one_and_back():
    data = torch.tensor([[0.0, 10.0], [4.0, 30.0], [1.0, 12.0]])
    normalizer = LinearNormalizer.fit_limits(data)
    y = normalizer.normalize(data)
    assert y.amin(0).tolist() == [-1, -1]
    assert y.amax(0).tolist() == [1, 1]
    torch.testing.assert_close(normalizer.unnormalize(y), data)


def test_a_constant_dimension_is_only_shifted():
    normalizer = LinearNormalizer.fit_limits(torch.tensor([[0.025], [0.025]]))
    assert normalizer.scale.item() == 1.0
    assert normalizer.normalize(torch.tensor([0.025])).item() == 0.0


def test_small_noise_is_not_blown_up():
    data = 0.3 + 0.001 * torch.rand(100, 1)
    y = LinearNormalizer.fit_limits(data, minimum_range=0.2).normalize(data)
    assert y.abs().max() <= 0.011


def test_outliers_may_lie_outside():
    data = torch.cat([torch.rand(1000, 1), torch.tensor([[50.0]])])
    normalizer = LinearNormalizer.fit_limits(data, outliers=0.01)
    assert normalizer.normalize(torch.tensor([50.0])).item() > 10


def test_absolute_actions_are_scaled_in_position_only():
    data = torch.rand(50, 10) * 0.5
    normalizer = LinearNormalizer.fit_absolute_actions(data)
    y = normalizer.normalize(data)
    assert y[:, :3].abs().max().item() == pytest.approx(1.0, abs=1e-6)
    assert torch.equal(y[:, 3:], data[:, 3:])


def test_mean_and_deviation_map_to_zero_and_one_and_constants_are_only_shifted():
    data = torch.cat([3 + 2 * torch.randn(500, 1, generator=torch.Generator().manual_seed(0)), torch.ones(500, 1)], 1)
    normalizer = LinearNormalizer.fit_gaussian(data)
    y = normalizer.normalize(data)
    assert y[:, 0].mean().item() == pytest.approx(0, abs=1e-5)
    assert y[:, 0].std().item() == pytest.approx(1, abs=1e-5)
    assert (y[:, 1] == 0).all()
    torch.testing.assert_close(normalizer.unnormalize(y), data)


def test_a_given_range_is_mapped_to_minus_one_and_one():
    normalizer = LinearNormalizer.of_range(torch.tensor([0.0, 5.0]), torch.tensor([10.0, 5.0]))
    assert normalizer.normalize(torch.tensor([[0.0, 5.0], [10.0, 5.0]])).tolist() == [[-1, 0], [1, 0]]
    assert normalizer.statistics.mean.tolist() == [5, 5]
