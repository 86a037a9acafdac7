# SPDX-License-Identifier: Apache-2.0
"""Autoregressive video generation: what each iteration fills, and what later ones see of it."""

from dataclasses import replace

import pytest
import torch

from uva_core.diffusion.schedule import make_schedule
from uva_core.network.inputs import ModelInputs
from uva_core.policy.generation import generate_video
from uva_core.policy.noise import Noise

SCHEDULE = make_schedule("ddpm", 1000, 3, clip=4.0)


@pytest.fixture
def inputs(tiny_policy) -> ModelInputs:
    c = tiny_policy.config.model
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, c.frames, c.latent_channels, c.latent_size, c.latent_size, generator=generator)
    return ModelInputs(history=latents, proprioception=torch.randn(2, 4, c.proprioception_dim, generator=generator))


def generated(policy, inputs, iterations, frames=None, seeds=(5, 6)):
    c = policy.config.model
    noise = Noise(seeds)
    orders, rows = noise.orders(c.tokens_per_frame), noise.rows(c.sequence_length, c.token_dim, 3)
    return list(generate_video(policy.model, inputs, SCHEDULE, rows, 1.0, orders, iterations, frames=frames))


def test_every_position_is_filled_exactly_once_and_stays(tiny_policy, inputs):
    c = tiny_policy.config.model
    steps = generated(tiny_policy, inputs, 5)
    assert torch.stack([step.filled for step in steps]).sum(0).eq(1).all()
    assert [round(step.share * c.tokens_per_frame) for step in steps][-1] == c.tokens_per_frame
    for before, after in zip(steps, steps[1:], strict=False):
        kept = tiny_policy.model.patchify(before.video) != 0
        same = tiny_policy.model.patchify(before.video) == tiny_policy.model.patchify(after.video)
        assert same[kept].all()


def test_what_is_given_as_future_changes_nothing(tiny_policy, inputs):
    given = replace(inputs, future=torch.randn_like(inputs.history), future_missing=torch.zeros(2, 16).bool())
    (alone,), (told,) = generated(tiny_policy, inputs, 1), generated(tiny_policy, given, 1)
    torch.testing.assert_close(told.video, alone.video, atol=0, rtol=0)


def test_hidden_actions_change_nothing_and_given_ones_do(tiny_policy, inputs):
    c = tiny_policy.config.model
    actions = torch.randn(2, c.action_steps, c.action_dim)
    hidden = replace(inputs, actions=actions, actions_missing=torch.ones(2).bool())
    (alone,), (blind,) = generated(tiny_policy, inputs, 1), generated(tiny_policy, hidden, 1)
    torch.testing.assert_close(blind.video, alone.video, atol=0, rtol=0)
    (seen,) = generated(tiny_policy, replace(inputs, actions=actions), 1)
    assert (seen.video - alone.video).abs().max() > 1e-4


def test_later_iterations_see_what_earlier_ones_made(tiny_policy, inputs):
    first, *_, last = generated(tiny_policy, inputs, 4)
    assert (first.z - last.z).abs().max() > 1e-4


def test_chosen_frames_are_those_of_the_whole_and_the_others_stay_empty(tiny_policy, inputs):
    (whole,), (part,) = generated(tiny_policy, inputs, 1), generated(tiny_policy, inputs, 1, frames=[2])
    torch.testing.assert_close(part.video[:, 2], whole.video[:, 2], atol=1e-5, rtol=0)
    assert (part.video[:, [0, 1, 3]] == 0).all()


def test_each_sample_has_its_own_order(tiny_policy, inputs):
    (alone, *_), (swapped, *_) = (generated(tiny_policy, inputs, 4, seeds=s) for s in ((5, 6), (6, 5)))
    assert (alone.filled[0] == swapped.filled[1]).all()
    assert (alone.filled[0] != alone.filled[1]).any()
