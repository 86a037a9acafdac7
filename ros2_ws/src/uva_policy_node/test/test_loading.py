# SPDX-License-Identifier: Apache-2.0
"""Which models the node refuses, and in which modes."""

import dataclasses

import pytest

from uva_core import MaskMode
from uva_core.config import UvaConfig
from uva_core.network.config import ModelConfig
from uva_core.observation.config import ObservationConfig
from uva_core.policy.policy import UvaPolicy
from uva_node_utils.errors import StartupError
from uva_policy_node.loading import load, refusal, unfit
from uva_policy_node.parameters import PolicyParameters


def test_a_mode_that_the_model_has_no_head_for_is_refused(tiny_config):
    policy = UvaPolicy(dataclasses.replace(tiny_config, model=dataclasses.replace(tiny_config.model, action_head=None)))
    assert "no action head: mask mode 'policy' is not possible" in refusal(policy, MaskMode.POLICY)
    assert refusal(policy, MaskMode.VIDEO) == ""


def test_an_untrained_mode_is_refused_where_it_would_move_the_arm(tiny_policy, tiny_config, monkeypatch):
    monkeypatch.setattr(tiny_policy, "config", dataclasses.replace(tiny_config, trained_modes=("video",)))
    refused = {mode.value for mode in MaskMode if refusal(tiny_policy, mode)}
    assert refused == {"policy", "policy_planner"}
    assert "only in: video; its actions would move the arm at random" in refusal(tiny_policy, MaskMode.POLICY)


@pytest.mark.parametrize(
    ("observation", "model", "text"),
    [
        ({"action_space": "vector"}, {"action_dim": 2}, "the 2-D actions of this model are no EEF poses"),
        ({}, {"wrist_history": True}, "wrist camera"),
        ({}, {"wrist_future": True}, "wrist camera"),
        ({"state_space": "vector"}, {"proprioception_dim": 9}, "a robot state of 9 numbers of its own"),
        ({"state_space": "vector"}, {}, ""),
        ({}, {}, ""),
    ],
)
def test_a_model_that_the_node_does_not_support_is_refused(observation, model, text):
    config = UvaConfig(model=ModelConfig(**model), observation=ObservationConfig(**observation))
    assert text in unfit(config)
    assert bool(text) == bool(unfit(config))


def test_loading_such_a_model_ends_in_one_line(tiny_config, tmp_path):
    wrist = dataclasses.replace(tiny_config.model, wrist_history=True)
    path = tmp_path / "wrist.safetensors"
    UvaPolicy(dataclasses.replace(tiny_config, model=wrist)).save(path)
    with pytest.raises(StartupError, match="wrist camera"):
        load(PolicyParameters(model=str(path)), MaskMode.POLICY)
