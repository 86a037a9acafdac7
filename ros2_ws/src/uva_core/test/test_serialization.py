# SPDX-License-Identifier: Apache-2.0
"""Configurations from plain values: every field by its type, refused in one line that names it, or a network."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uva_core import presets
from uva_core.checkpoint.safetensors_file import tensors_of
from uva_core.config import UvaConfig
from uva_core.network.config import ModelConfig
from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import from_dict, printable, to_dict
from uva_core.training.recipes import UvaRecipe


def test_a_config_survives_the_way_through_plain_values():
    config = UvaConfig(model=ModelConfig(proprioception_dim=16), trained_modes=("policy",))
    assert from_dict(UvaConfig, to_dict(config)) == config


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model": {"widht": 3}}, "ModelConfig has no field widht; known: latent_size"),
        ({"model": {3: 3}}, "ModelConfig has no field 3"),
        ({"model": {"width": "768"}}, "ModelConfig.width must be a whole number, got '768'"),
        ({"model": {"width": 768.0}}, "ModelConfig.width must be a whole number, got 768.0"),
        ({"model": {"width": True}}, "ModelConfig.width must be a whole number, got True"),
        ({"model": {"dropout": math.nan}}, "ModelConfig.dropout must be a finite number, got nan"),
        ({"model": {"mlp_ratio": math.inf}}, "ModelConfig.mlp_ratio must be a finite number, got inf"),
        ({"model": {"past_actions": 1}}, "ModelConfig.past_actions must be true or false, got 1"),
        ({"model": {"action_head": 3}}, "ModelConfig.action_head must be text, got 3"),
        ({"model": None}, "ModelConfig must be a mapping, got None"),
        ({"observation": {"frame_offsets": "-4, 0"}}, "frame_offsets must be tuple[int, ...], got '-4, 0'"),
        ({"observation": {"frame_offsets": [-4, 0.0]}}, "frame_offsets must be a whole number, got 0.0"),
        ({"trained_modes": ["dream"]}, "unknown trained_modes: dream"),
        ({"sampling": {"action_temperature": math.nan}}, "action_temperature must be a finite number, got nan"),
        ({"model": {"encoder_depth": -1}}, "encoder_depth is -1; choose 1 to 256"),
        ({"model": {"encoder_depth": 20_000}}, "encoder_depth is 20000; choose 1 to 256"),
        ({"model": {"train_timesteps": 10**9}}, "train_timesteps is 1000000000; choose 2 to 10000"),
        ({"model": {"train_timesteps": 10}}, "sampling takes 16 steps, the model was trained with 10 timesteps"),
        ({"tokenizer": {"layers_per_block": 10**9}}, "layers_per_block is 1000000000; choose 1 to 16"),
        ({"tokenizer": {"block_out_channels": [32] * 20_000}}, "20000 block_out_channels; choose 1 to 10"),
        ({"tokenizer": {"block_out_channels": [0]}}, "block_out_channels holds 0"),
        ({"observation": {"frame_offsets": [-(10**9), -8, -4, 0]}}, "reach back 1000000000 steps"),
        ({"model": {"width": "x" * 10_000}}, "got 'xxxxxxxxxxxx...xxxxxxxxxxxxx'"),
    ],
)
def test_a_wrong_value_is_named_with_its_field(values, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        from_dict(UvaConfig, values)


def test_tuples_of_fixed_length_and_mappings_are_read_by_type():
    assert from_dict(UvaRecipe, {"betas": [0.9, 1], "windows": {"policy": 2}}).betas == (0.9, 1.0)
    with pytest.raises(ValueError, match=re.escape("UvaRecipe.betas must be tuple[float, float], got [0.9]")):
        from_dict(UvaRecipe, {"betas": [0.9]})
    with pytest.raises(ValueError, match="UvaRecipe.windows must be a whole number, got '2'"):
        from_dict(UvaRecipe, {"windows": {"policy": "2"}})


def test_text_from_a_file_is_escaped_and_cut():
    assert printable("grün\x1b[0m\n") == "grün\\x1b[0m\\n"
    assert printable("x" * 1000, 3) == "xxx... (1000 characters)"


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([10**9, 65_536])
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
FIELDS = [(part, name) for part, values in to_dict(UvaConfig()).items() if isinstance(values, dict) for name in values]


@settings(deadline=None, max_examples=60)
@given(changes=st.dictionaries(st.sampled_from(FIELDS), VALUES | st.integers(-1, 70), max_size=3), whole=VALUES)
def test_a_changed_configuration_is_refused_or_describes_a_network(changes, whole):
    values = presets.load("uva_tiny")["config"]
    for (part, name), value in changes.items():
        values[part][name] = value
    for tree in (values, values | {"model": whole}, whole):
        try:
            tensors_of(UvaPolicy, from_dict(UvaConfig, tree))
        except ValueError as error:
            assert len(str(error)) < 2000
