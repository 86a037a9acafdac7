# SPDX-License-Identifier: Apache-2.0
import torch
from hypothesis import given
from hypothesis import strategies as st

from uva_core.network.masking import (
    generation_counts,
    mask_from_order,
    random_mask_ratios,
    random_orders,
    training_mask,
)


def test_the_first_entries_of_the_order_are_masked():
    mask = mask_from_order(torch.tensor([[2, 0, 3, 1]]), torch.tensor([2]))
    assert mask.tolist() == [[True, False, True, False]]


def test_mask_ratios_stay_in_the_published_range_with_its_mean():
    ratios = random_mask_ratios(20_000, torch.Generator().manual_seed(0))
    assert ratios.min() >= 0.7
    assert ratios.max() <= 1.0
    assert abs(ratios.mean().item() - 0.867) < 0.003  # of a normal (1, 0.25) cut to [0.7, 1]


def test_a_training_mask_hides_the_ceiling_of_its_share():
    mask = training_mask(random_orders(3, 256), torch.tensor([0.7, 0.8986, 1.0]))
    assert mask.sum(dim=1).tolist() == [180, 231, 256]


@given(st.integers(1, 64))
def test_generation_fills_at_least_one_position_every_time_and_all_at_the_end(iterations):
    counts = [256, *generation_counts(256, iterations)]
    assert counts[-1] == 0
    assert all(after < before for before, after in zip(counts, counts[1:], strict=False))
