# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest
import torch

from uva_core.training.batch import RowDraw, TrainingDraw


def test_a_seed_draws_the_same_step_again(full_config):
    torch.manual_seed(3)
    first = TrainingDraw.random(full_config, 4, action_draws=2)
    torch.manual_seed(3)
    second = TrainingDraw.random(full_config, 4, action_draws=2)
    for field in dataclasses.fields(TrainingDraw):
        a, b = getattr(first, field.name), getattr(second, field.name)
        pairs = [(a.timestep, b.timestep), (a.noise, b.noise)] if isinstance(a, RowDraw) else [(a, b)]
        assert all(torch.equal(x, y) for x, y in pairs), field.name


def test_a_draw_covers_every_head_and_every_timestep(full_config):
    c = full_config
    draw = TrainingDraw.random(c, 32, action_draws=3)
    assert draw.video.noise.shape == draw.wrist.noise.shape == (1, 32, c.sequence_length, c.token_dim)
    assert draw.actions.noise.shape == (3, 32, c.action_steps, c.action_dim)
    assert draw.proprioception.noise.shape == (3, 32, c.action_steps, c.proprioception_target_dim)
    timesteps = draw.video.timestep
    assert 0 <= timesteps.min() < 10
    assert c.train_timesteps - 10 < timesteps.max() < c.train_timesteps
    assert (draw.orders.sort(dim=1).values == torch.arange(c.tokens_per_frame)).all()


@pytest.mark.parametrize(("dropout", "missing"), [(0.0, 0), (1.0, 1)])
def test_text_and_past_actions_are_hidden_at_their_rates(full_config, dropout, missing):
    config = dataclasses.replace(full_config, text_dropout=dropout, past_action_dropout=dropout)
    draw = TrainingDraw.random(config, 8)
    assert (draw.text_missing == bool(missing)).all()
    assert (draw.past_actions_missing == bool(missing)).all()
    assert draw.past_actions_missing.shape == (8, config.action_steps)


def test_nothing_is_drawn_for_what_the_model_does_not_have(tiny_config):
    draw = TrainingDraw.random(tiny_config.model, 2)
    assert [draw.wrist, draw.proprioception, draw.text_missing, draw.past_actions_missing] == [None] * 4
