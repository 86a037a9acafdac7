# SPDX-License-Identifier: Apache-2.0
import dataclasses
import subprocess
import sys

import pytest
import torch

from uva_core import presets
from uva_core.config import UvaConfig
from uva_core.network.config import ModelConfig
from uva_core.observation.config import ObservationConfig
from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import from_dict
from uva_core.training.recipes import TokenizerRecipe, UvaRecipe


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_builds_its_configs_and_recipes(name):
    preset = presets.load(name)
    from_dict(UvaConfig, preset["config"])
    if "training" in preset:
        from_dict(TokenizerRecipe, presets.recipe(name, "tokenizer_training"))
        from_dict(UvaRecipe, presets.recipe(name, "training")).modes(0)


def test_a_preset_without_a_recipe_says_so():
    with pytest.raises(ValueError, match="preset 'pusht' has no training recipe .* with one: uva_tiny"):
        presets.recipe("pusht", "training")


@pytest.mark.parametrize("name", [n for n in presets.names() if n != "uva_tiny"])
def test_published_presets_have_the_published_sizes(name):
    with torch.device("meta"):
        policy = UvaPolicy(from_dict(UvaConfig, presets.load(name)["config"]))
    network, tokenizer = (sum(p.numel() for p in part.parameters()) for part in (policy.model, policy.tokenizer))
    assert 255e6 < network < 355e6  # 0.26 B, and more with a wrist camera or a robot-state head
    assert 66e6 < tokenizer < 67e6


def test_an_unknown_preset_is_named():
    with pytest.raises(ValueError, match="unknown preset 'huge'.*uva_tiny"):
        presets.load("huge")


def test_strides_and_times_follow_from_the_frame_offsets():
    config = ObservationConfig(rate_hz=10.0, frame_offsets=(-9, -5, -3, 0), first_action_step=2)
    assert config.frame_stride == 3
    assert config.future_offsets.tolist() == [3, 6, 9, 12]
    assert config.frame_times_s == pytest.approx([0.3, 0.6, 0.9, 1.2])
    assert (config.history_s, config.horizon_s) == pytest.approx((0.9, 1.2))
    assert config.action_offsets(3).tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("change", "text"),
    [({"width": 100, "heads": 12}, "100 is not divisible by 12"), ({"latent_size": 2}, "grid is 2x2")],
)
def test_impossible_sizes_are_refused_with_both_numbers(change, text):
    with pytest.raises(ValueError, match=text):
        ModelConfig(**change)


def test_a_tokenizer_that_does_not_fit_the_model_is_refused():
    config = UvaConfig()
    with pytest.raises(ValueError, match="8 latent cells a side, the model expects 16"):
        dataclasses.replace(config, tokenizer=dataclasses.replace(config.tokenizer, image_size=128))


def test_importing_the_library_imports_no_ros():
    code = (
        "import pkgutil, importlib, sys, uva_core\n"
        "for m in pkgutil.walk_packages(uva_core.__path__, 'uva_core.'): importlib.import_module(m.name)\n"
        "no = ('rclpy', 'torchvision', 'timm', 'std_msgs', 'uva_msgs')\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in no]\n"
        "sys.exit(', '.join(bad) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
