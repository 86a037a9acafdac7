# SPDX-License-Identifier: Apache-2.0
import dataclasses

import pytest
import torch

from uva_core.policy.policy import UvaPolicy
from uva_core.training.recipes import UvaRecipe
from uva_core.training.run_state import run_identity
from uva_core.training.trainer import POLICY_FILE, RunOptions, train

RECIPE = UvaRecipe(
    steps=12, learning_rate=3e-3, warmup_steps=2, normalizer_minimum_range=0.1, windows={"policy": 2, "video": 2}
)


class PowerCutError(Exception):
    pass


@pytest.fixture
def run(make_data):
    """Train in a folder, cut off at a batch where it says so; return the number of batches and the policy."""

    def run(folder, *, cut_at=None, stop_at=None, resume=False, recipe=RECIPE):
        policy, data = make_data(recipe)
        draw, calls = data.batch, []

        def batch(modes):
            calls.append(1)
            if len(calls) == cut_at:
                raise PowerCutError
            return draw(modes)

        data.batch = batch
        train(policy, data, recipe, folder, RunOptions(precision="no", save_every=5, stop_at=stop_at, resume=resume))
        return len(calls), UvaPolicy.load(folder / POLICY_FILE)

    return run


def test_a_run_that_was_cut_and_resumed_ends_where_an_uninterrupted_one_does(tmp_path, run):
    _, whole = run(tmp_path / "whole")
    with pytest.raises(PowerCutError):
        run(tmp_path / "cut", cut_at=9)
    steps, _ = run(tmp_path / "cut", resume=True, stop_at=8)
    assert steps == 8 - 5
    steps, resumed = run(tmp_path / "cut", resume=True)
    assert steps == 12 - 8
    for (name, a), b in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_only_the_same_run_is_resumed(tmp_path, run):
    run(tmp_path / "run", stop_at=1)
    with pytest.raises(ValueError, match="another configuration, tokenizer, recipe or data"):
        run(tmp_path / "run", resume=True, recipe=dataclasses.replace(RECIPE, learning_rate=1e-3))
    with pytest.raises(ValueError, match="nothing to resume from"):
        run(tmp_path / "new", resume=True)


def test_a_damaged_state_is_refused_in_one_line(tmp_path, run):
    run(tmp_path / "run", stop_at=1)
    progress = tmp_path / "run" / "state" / "progress.json"
    for text in ("{", "[]", '{"step": 1}'):
        progress.write_text(text)
        with pytest.raises(ValueError, match="progress.json is damaged"):
            run(tmp_path / "run", resume=True)


def test_a_truncated_file_of_the_state_is_refused_in_one_line(tmp_path, run):
    run(tmp_path / "run", stop_at=1)
    average = tmp_path / "run" / "state" / "ema.pt"
    average.write_bytes(average.read_bytes()[:100])
    with pytest.raises(ValueError, match="state is damaged .*: start anew"):
        run(tmp_path / "run", resume=True)


def test_a_run_that_was_killed_between_the_two_renamings_goes_on_from_the_old_state(tmp_path, run):
    run(tmp_path / "run", stop_at=1)
    state = tmp_path / "run" / "state"
    state.rename(state.with_name("state.old"))
    steps, _ = run(tmp_path / "run", resume=True, stop_at=2)
    assert steps == 1


def test_the_identity_is_that_of_seed_recipe_and_data_but_not_of_the_length(make_data):
    policy, data = make_data(RECIPE)
    identity = run_identity(policy, data, RECIPE, seed=0)
    assert run_identity(policy, data, dataclasses.replace(RECIPE, steps=99), seed=0) == identity
    assert run_identity(policy, data, RECIPE, seed=1) != identity
    assert run_identity(policy, data, dataclasses.replace(RECIPE, learning_rate=1e-3), seed=0) != identity
    data.latents["mean"][0] += 1
    assert run_identity(policy, data, RECIPE, seed=0) != identity
