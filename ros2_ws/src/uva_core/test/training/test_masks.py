# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest
import torch

from uva_core.modes import MaskMode
from uva_core.training.batch import TrainingDraw
from uva_core.training.masks import flags, mode_inputs, select

FRAMES = {"future", "wrist_future"}

# What is hidden from the network in each mode; of the future frames in `video` and its kind only the masked positions.
HIDDEN = {
    MaskMode.POLICY: {"actions", *FRAMES},
    MaskMode.VIDEO: {"actions"},
    MaskMode.FORWARD_DYNAMICS: set(),
    MaskMode.INVERSE_DYNAMICS: {"actions", "history"},
    MaskMode.POLICY_PLANNER: {"actions"},
}
CASES = [(mode, name) for mode in MaskMode for name in ("history", "actions", *sorted(FRAMES))]


@pytest.fixture
def latent(full_config, full_model, make_batch):
    """Compute z of two samples of one mode, with parts of the batch changed."""
    torch.manual_seed(1)
    batch, draw = make_batch(2), TrainingDraw.random(full_config, 2)
    draw.mask_ratios = torch.full((2,), 0.7)  # so that some positions are seen

    def latent(mode, **change):
        with torch.no_grad():
            inputs, mask = mode_inputs(dataclasses.replace(batch, **change), [mode] * 2, draw)
            return full_model(inputs), mask

    latent.batch = batch
    return latent


@pytest.mark.parametrize(("mode", "name"), CASES, ids=str)
def test_what_a_mode_hides_changes_nothing_and_what_it_gives_counts(latent, mode, name):
    before, _ = latent(mode)
    after, _ = latent(mode, **{name: torch.randn_like(getattr(latent.batch, name))})
    assert torch.equal(before, after) == (name in HIDDEN[mode])


@pytest.mark.parametrize("mode", [MaskMode.VIDEO, MaskMode.FORWARD_DYNAMICS, MaskMode.POLICY_PLANNER])
@pytest.mark.parametrize("name", sorted(FRAMES))
def test_a_mode_that_decodes_video_sees_its_frames_only_where_they_are_not_masked(latent, full_config, mode, name):
    before, mask = latent(mode)
    assert mask.sum(dim=1).tolist() == [12, 12]  # of 16
    frames = getattr(latent.batch, name)
    grid = full_config.grid
    cells = mask.view(2, 1, 1, grid, grid).repeat_interleave(full_config.patch_size, 3)
    cells = cells.repeat_interleave(full_config.patch_size, 4).expand_as(frames)
    other = torch.randn_like(frames)
    assert torch.equal(latent(mode, **{name: torch.where(cells, other, frames)})[0], before)
    assert not torch.equal(latent(mode, **{name: torch.where(cells, frames, other)})[0], before)


def test_each_sample_of_a_batch_has_its_own_mode(latent, full_config, full_model, make_batch):
    modes = [MaskMode.POLICY, MaskMode.INVERSE_DYNAMICS, MaskMode.POLICY]
    inputs, _ = mode_inputs(make_batch(3), modes, TrainingDraw.random(full_config, 3))
    assert inputs.history_missing.tolist() == [False, True, False]
    assert inputs.actions_missing.tolist() == [True, True, True]
    assert inputs.future_missing.all(dim=1).tolist() == [True, False, True]
    assert not inputs.future_missing[1].any()


@pytest.mark.parametrize("dropped", [False, True])
def test_past_actions_that_the_data_lacks_stay_hidden(latent, full_config, make_batch, dropped):
    batch, draw = make_batch(2), TrainingDraw.random(full_config, 2)
    lacking = batch.past_actions_missing
    assert lacking.any()
    draw.past_actions_missing = torch.zeros_like(lacking)
    draw.past_actions_missing[0, 0] = dropped
    inputs, _ = mode_inputs(batch, [MaskMode.POLICY] * 2, draw)
    assert torch.equal(inputs.past_actions_missing, lacking | draw.past_actions_missing)
    draw.past_actions_missing = None
    assert torch.equal(mode_inputs(batch, [MaskMode.POLICY] * 2, draw)[0].past_actions_missing, lacking)
    batch.past_actions_missing = None
    assert mode_inputs(batch, [MaskMode.POLICY] * 2, draw)[0].past_actions_missing is None


@pytest.mark.parametrize("chosen", [[True], [True, True], [False, True, True, False, True], [True, False, False]])
def test_flags_and_selections_are_those_of_a_boolean_mask(chosen):
    values = torch.arange(2.0 * len(chosen)).view(2, -1)
    mask = flags(chosen, torch.device("cpu"))
    assert mask.tolist() == chosen
    assert mask.dtype == torch.bool
    assert torch.equal(select(values, chosen, 1), values[:, mask])
    assert torch.equal(select(values[0], chosen), values[0, mask])
