# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest
import torch

from uva_core.diffusion.training import TrainingDiffusion
from uva_core.modes import RULES, MaskMode
from uva_core.training.batch import RowDraw, TrainingDraw
from uva_core.training.losses import training_losses

MIXED = [MaskMode.POLICY, MaskMode.VIDEO, MaskMode.POLICY_PLANNER, MaskMode.INVERSE_DYNAMICS, MaskMode.FORWARD_DYNAMICS]


@pytest.fixture
def losses(full_config, full_model, make_batch):
    """Compute the losses of a batch of these modes, with parts of it changed."""
    diffusion = TrainingDiffusion(full_config.train_timesteps)

    def losses(modes, **change):
        torch.manual_seed(2)
        batch, draw = make_batch(len(modes)), TrainingDraw.random(full_config, len(modes), action_draws=2)
        full_model.zero_grad()
        return training_losses(full_model, diffusion, dataclasses.replace(batch, **change), modes, draw)

    return losses


def changed(values, samples):
    """Other numbers in some samples."""
    result = values.clone()
    result[samples] = torch.randn_like(result[samples])
    return result


@pytest.fixture
def mixed_batch(make_batch):
    torch.manual_seed(2)
    return make_batch(len(MIXED))


@pytest.mark.parametrize("mode", MaskMode)
def test_each_mode_is_scored_on_what_it_decodes_and_on_nothing_else(losses, mode):
    found = losses([mode, mode])
    rule = RULES[mode]
    heads = {"video", "wrist"} if rule.decodes_video else set()
    assert set(found.terms) == heads | ({"action"} if rule.decodes_actions else set()) | {"proprioception"}
    assert (found.video > 0) == rule.decodes_video
    assert (found.action > 0) == rule.decodes_actions
    assert found.total == found.video + found.action + found.proprioception


@pytest.mark.parametrize("mode", MaskMode)
def test_only_the_heads_of_what_is_decoded_learn(losses, full_model, mode):
    losses([mode, mode]).total.backward()

    def learns(head):
        return any(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())

    assert learns(full_model.video_head) == learns(full_model.wrist_video_head) == RULES[mode].decodes_video
    assert learns(full_model.action_head) == RULES[mode].decodes_actions
    assert learns(full_model.proprioception_head)
    assert learns(full_model.encoder_blocks)


def test_actions_count_only_in_the_samples_that_decode_or_are_given_them(losses, mixed_batch):
    before = losses(MIXED)
    video = losses(MIXED, actions=changed(mixed_batch.actions, [MIXED.index(MaskMode.VIDEO)]))
    assert torch.equal(video.total, before.total)
    given = losses(MIXED, actions=changed(mixed_batch.actions, [MIXED.index(MaskMode.FORWARD_DYNAMICS)]))
    assert torch.equal(given.action, before.action)
    assert not torch.equal(given.video, before.video)
    target = losses(MIXED, actions=changed(mixed_batch.actions, [MIXED.index(MaskMode.POLICY)]))
    assert torch.equal(target.video, before.video)
    assert not torch.equal(target.action, before.action)


@pytest.mark.parametrize("name", ["future", "wrist_future"])
def test_the_future_counts_only_in_the_samples_that_decode_or_are_given_it(losses, mixed_batch, name):
    before, frames = losses(MIXED), getattr(mixed_batch, name)
    hidden = losses(MIXED, **{name: changed(frames, [MIXED.index(MaskMode.POLICY)])})
    assert torch.equal(hidden.total, before.total)
    given = losses(MIXED, **{name: changed(frames, [MIXED.index(MaskMode.INVERSE_DYNAMICS)])})
    assert torch.equal(given.video, before.video)
    assert not torch.equal(given.action, before.action)
    target = losses(MIXED, **{name: changed(frames, [MIXED.index(MaskMode.VIDEO)])})
    assert torch.equal(target.action, before.action)
    assert not torch.equal(target.video, before.video)


def test_video_is_scored_at_masked_positions_of_both_cameras(losses, full_config):
    found = losses([MaskMode.VIDEO, MaskMode.VIDEO])
    weight = found.mask.repeat(1, full_config.frames).flatten()
    assert 0 < weight.sum() < len(weight)
    for name in ("video", "wrist"):
        torch.testing.assert_close(found.cameras[name], found.terms[name].loss[weight].mean())
    assert found.video == found.cameras["video"] + found.cameras["wrist"]


def test_every_sample_of_a_mixed_batch_is_scored_as_in_a_batch_of_its_own(full_config, full_model, mixed_batch):
    torch.manual_seed(2)
    draw = TrainingDraw.random(full_config, len(MIXED))
    diffusion = TrainingDiffusion(full_config.train_timesteps)
    together = training_losses(full_model, diffusion, mixed_batch, MIXED, draw)
    places = {name: 0 for name in together.terms}
    for i, mode in enumerate(MIXED):
        alone = training_losses(full_model, diffusion, only(mixed_batch, i), [mode], only(draw, i))
        for name, terms in alone.terms.items():
            rows = slice(places[name], places[name] + len(terms.mse))
            places[name] = rows.stop
            for ours, theirs in zip(terms, together.terms[name], strict=True):
                torch.testing.assert_close(theirs[rows], ours, atol=1e-4, rtol=1e-4)
    assert places == {name: len(terms.mse) for name, terms in together.terms.items()}


def only(whole, i):
    """One sample of a batch or of a draw."""
    parts = {}
    for field in dataclasses.fields(whole):
        value = getattr(whole, field.name)
        if isinstance(value, RowDraw):
            value = RowDraw(value.timestep[:, i : i + 1], value.noise[:, i : i + 1])
        elif value is not None:
            value = value[i : i + 1]
        parts[field.name] = value
    return type(whole)(**parts)
