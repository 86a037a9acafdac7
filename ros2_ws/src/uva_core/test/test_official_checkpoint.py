# SPDX-License-Identifier: Apache-2.0
"""From an official configuration to one of ours: the published ones give the presets, any other ends in one line."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uva_core import presets
from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.config import UvaConfig
from uva_core.modes import RULES, MaskMode
from uva_core.network.config import TokenizerConfig
from uva_core.official.importing import official_checkpoint
from uva_core.official.importing.hydra_config import HydraConfig
from uva_core.serialization import from_dict, to_dict


@pytest.mark.parametrize(
    ("change", "modes"),
    [
        ("model.policy.selected_training_mode=video_model", ["video_model"]),
        (
            "model.policy.selected_training_mode=policy_model_full_dynamics_model",
            ["policy_model", "full_dynamic_model"],
        ),
        ("task.task_modes=[policy_model,inverse_model]", ["policy_model", "inverse_model"]),
    ],
)
def test_trained_modes_follow_the_official_rule(change, modes, official_config):
    trained = official_checkpoint.trained_modes(HydraConfig(official_config(change)))
    assert set(trained) == {mode.value for mode in MaskMode if RULES[mode].official_name in modes}


@pytest.mark.parametrize(
    ("preset", "change"),
    [
        ("pusht", ""),
        (
            "libero10",
            "task.name=libero10 task.shape_meta.action.shape=[10] task.dataset.language_emb_model=clip"
            " task.dataset.abs_action=true",
        ),
        (
            "toolhang",
            "task.name=toolhang task.shape_meta.action.shape=[10] task.dataset.abs_action=true"
            " model.policy.use_proprioception=true model.policy.predict_proprioception=true"
            " model.policy.predict_wrist_img=true",
        ),
        (
            "umi_multitask",
            "task.name=umi task.shape_meta.action.shape=[10] task.dataset.language_emb_model=clip"
            " task.pose_repr.obs_pose_repr=relative task.pose_repr.action_pose_repr=relative"
            " model.policy.use_proprioception=true model.policy.predict_proprioception=true"
            " model.policy.different_history_freq=true model.policy.shift_action=false",
        ),
    ],
)
def test_published_configurations_give_the_presets(preset, change, official_config, official_network):
    hydra = HydraConfig(official_config(change))
    expected = from_dict(UvaConfig, presets.load(preset)["config"])
    config = official_checkpoint.policy_config(hydra, official_network, expected.tokenizer, None)
    without_state = {} if config.model.proprioception_dim else {"proprioception_steps": 16}  # which then says nothing
    assert config.model == replace(expected.model, **without_state)
    assert config.observation == expected.observation


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([10**9, 2**600])
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


def leaves(tree, path=()):
    """Paths of all values in nested dicts and lists, containers included."""
    yield path
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from leaves(value, (*path, key))


@given(data=st.data())
def test_a_changed_configuration_is_refused_in_one_line_or_read(data, official_config, official_network):
    tree = official_config("task.dataset.abs_action=true training.deepspeed_config=null")
    for _ in range(data.draw(st.integers(1, 2))):
        *above, key = data.draw(st.sampled_from([path for path in leaves(tree) if path]))
        node = tree
        for step in above:
            node = node[step]
        node[key] = data.draw(VALUES)
    try:
        config = official_checkpoint.policy_config(HydraConfig(tree), official_network, TokenizerConfig(), None)
    except CheckpointError as error:
        assert str(error).isprintable()
    else:
        assert from_dict(UvaConfig, to_dict(config)) == config
        assert config.model.encoder_depth >= 1
        assert math.isfinite(config.sampling.action_temperature)
