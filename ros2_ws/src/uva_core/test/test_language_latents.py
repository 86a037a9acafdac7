# SPDX-License-Identifier: Apache-2.0
"""Published tables of language latents go into a checkpoint; anything else is refused in one line."""

import pickle

import numpy as np
import pytest
import torch

from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.official.importing.command import main
from uva_core.official.importing.language_latents import language_latents
from uva_core.policy.policy import UvaPolicy


def test_language_latents_go_into_the_checkpoint_table(tmp_path, small_state, save_official):
    with_language = {
        "fake_latent": (1, 64),
        "text_proj_cond.weight": (64, 512),
        "text_proj_cond.bias": (64,),
        "text_pos_embed": (1, 64, 64),
        "decoder_text_pos_embed": (1, 64, 64),
    }
    state = small_state | {f"model.{name}": torch.zeros(shape) for name, shape in with_language.items()}
    source = save_official(tmp_path / "in.ckpt", state, "task.dataset.language_emb_model=clip")
    table = {"cup": np.full((1, 512), 2, np.float32), "towel": np.zeros((1, 512), np.float32)}
    (tmp_path / "latents.pkl").write_bytes(pickle.dumps(table))
    command = ["convert", str(source), str(tmp_path / "out.safetensors"), "--heads", "4"]
    assert main([*command, "--instructions", str(tmp_path / "latents.pkl")]) == 0
    policy = UvaPolicy.load(tmp_path / "out.safetensors")
    assert policy.config.instructions == ("cup", "towel")
    assert policy.instructions.latent("cup").tolist() == [2.0] * 512


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "it has no instructions"),
        ([1], "it holds no dict"),
        ({3: np.zeros(512, np.float32)}, "an instruction that is no text"),
        ({"a": np.zeros(512, ">f4")}, "byte order"),
        ({"a": np.zeros(512, np.int64)}, "an array of type i8"),
        ({"a": np.zeros(700, np.float32)}, "700 numbers instead of 512"),
        ({"a": "x" * 3000}, "no attribute"),
        (dict.fromkeys(map(str, range(1000)), np.zeros(512, np.float32)), "1000 instructions in"),
    ],
)
def test_another_table_is_refused(tmp_path, table, said):
    (tmp_path / "latents.pkl").write_bytes(pickle.dumps(table))
    with pytest.raises(CheckpointError, match=f"latents.pkl is no table of language latents.*{said}"):
        language_latents(tmp_path / "latents.pkl")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no file at .*latents.pkl"):
        language_latents(tmp_path / "latents.pkl")
