# SPDX-License-Identifier: Apache-2.0
"""Instructions from CLIP's text encoder, with a small one of random weights."""

import importlib.util
import json

import pytest
import torch

from uva_core.network.language import ClipTextEncoder, InstructionTable

WORDS = ["<|startoftext|>", "<|endoftext|>", "fold</w>", "towel</w>", "cup</w>", "f", "o", "l", "d</w>"]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("transformers is not installed; it is only needed for instructions beyond a checkpoint's table")
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

    folder = tmp_path_factory.mktemp("clip")
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(WORDS)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    vocabulary, merges = str(folder / "vocab.json"), str(folder / "merges.txt")
    CLIPTokenizer(vocabulary, merges, unk_token=WORDS[1]).save_pretrained(folder)
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        projection_dim=512,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    CLIPTextModelWithProjection(config).save_pretrained(folder)
    return folder


def test_a_latent_does_not_depend_on_what_else_is_encoded(clip_folder):
    encoder = ClipTextEncoder(clip_folder)
    alone, together = encoder(["cup"]), encoder(["fold towel cup", "cup"])
    assert alone.shape == (1, 512)
    torch.testing.assert_close(together[1], alone[0], atol=1e-5, rtol=0)
    assert (together[0] - together[1]).abs().max() > 1e-4


def test_missing_weights_are_answered_with_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="no CLIP weights at|pip install transformers"):
        ClipTextEncoder(tmp_path)


def test_a_table_without_instructions_says_so():
    with pytest.raises(ValueError, match="known: none"):
        InstructionTable((), 512).latent("fold the towel")
