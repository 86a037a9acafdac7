# SPDX-License-Identifier: Apache-2.0
import json

import pytest
import torch

from uva_core.network.model import Uva
from uva_core.policy.policy import UvaPolicy
from uva_core.training import trainer
from uva_core.training.recipes import UvaRecipe

OPTIONS = trainer.RunOptions(precision="no", save_every=20)


def test_training_lowers_the_loss(tmp_path, make_data):
    recipe = UvaRecipe(
        steps=30,
        learning_rate=3e-3,
        warmup_steps=2,
        normalizer_minimum_range=0.1,
        windows={"policy": 2, "policy_planner": 2, "video": 1, "forward_dynamics": 2, "inverse_dynamics": 1},
    )
    policy, data = make_data(recipe)
    untrained, _ = make_data(recipe)
    trainer.train(policy, data, recipe, tmp_path / "run", OPTIONS)
    first, *_ = (tmp_path / "run" / trainer.LOG_FILE).read_text().splitlines()
    assert json.loads(first)["step"] == 0
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["steps"] == 30

    trained = UvaPolicy.load(tmp_path / "run" / trainer.POLICY_FILE)
    assert trained.config.trained_modes == tuple(recipe.windows)
    modes = recipe.modes(99) * 4

    def loss(model):
        torch.manual_seed(1)
        return trainer.TrainingStep(model, 1)(data.batch(modes), modes).total.item()

    assert loss(trained.model) < loss(untrained.model)


@pytest.mark.parametrize("mode", ["policy", "forward_dynamics"])
def test_a_model_that_is_given_past_actions_learns_from_them(tmp_path, make_data, mode):
    recipe = UvaRecipe(steps=2, learning_rate=1e-3, warmup_steps=0, windows={mode: 4})
    policy, data = make_data(recipe, past_actions=True, past_action_dropout=0.0)
    before = policy.model.past_action_proj.weight.clone()
    trainer.train(policy, data, recipe, tmp_path, OPTIONS)
    assert not torch.equal(policy.model.past_action_proj.weight, before)


@pytest.mark.parametrize("recipe", [UvaRecipe(windows={"policy": 0}), UvaRecipe(steps=-5, windows={"policy": 1})])
def test_a_recipe_that_trains_nothing_is_refused(tmp_path, make_data, recipe):
    policy, data = make_data(UvaRecipe(windows={"policy": 1}))
    with pytest.raises(ValueError, match="nothing to train: .* steps, windows of a step by mode: {'policy'"):
        trainer.train(policy, data, recipe, tmp_path, OPTIONS)


@pytest.mark.parametrize("options", [{"save_every": 0}, {"stop_at": 0}, {"stop_at": -3}])
def test_steps_between_checkpoints_and_to_the_end_are_at_least_one(options):
    with pytest.raises(ValueError, match="must be 1 or more steps"):
        trainer.RunOptions(**options)


def test_matrices_are_decayed_and_nothing_else(tiny_config):
    model = Uva(tiny_config.model)
    decayed, others = trainer.parameter_groups(model, 0.02)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.02, 0.0)
    kept = {id(parameter) for parameter in others["params"]}
    named = dict(model.named_parameters())
    assert id(named["fuse.weight"]) not in kept
    for name in ("fuse.bias", "input_norm.weight", "missing_frame", "input_positions.temporal"):
        assert id(named[name]) in kept, name
    assert len(decayed["params"]) + len(others["params"]) == len(named)
