# SPDX-License-Identifier: Apache-2.0
"""Names and sizes of the official implementation, in ours."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from uva_core.config import ModelConfig

# Official prefix -> ours. The first that fits counts, so longer ones stand before what they begin with.
PREFIXES = (
    ("fake_latent_x", "missing_frame"),
    ("fake_action_latent", "missing_action"),
    ("fake_latent", "missing_text"),
    ("z_proj_cond.", "history_proj."),
    ("z_proj_ln.", "input_norm."),
    ("z_proj.", "future_proj."),
    ("action_proj_cond.", "action_proj."),
    ("proprioception_proj_cond.", "proprioception_proj."),
    ("proj_cond_x_layer.", "fuse."),
    ("text_proj_cond.", "text_proj."),
    ("text_pos_embed", "text_positions"),
    ("decoder_text_pos_embed", "decoder_text_positions"),
    ("temporal_pos_embed", "input_positions.temporal"),
    ("spatial_pos_embed", "input_positions.spatial"),
    ("decoder_temporal_pos_embed", "decoder_positions.temporal"),
    ("decoder_spatial_pos_embed", "decoder_positions.spatial"),
    ("diffusion_temporal_embed", "latent_positions.temporal"),
    ("diffusion_spatial_embed", "latent_positions.spatial"),
    ("diffloss.", "video_head."),
    ("diffactloss.", "action_head."),
    ("diffproploss.", "proprioception_head."),
)
# Made by the official constructor and never used by its forward pass.
UNUSED = ("proprioception_image_proj_cond.",)
PROPRIOCEPTION_DIMS = {"umi": 16}
PROPRIOCEPTION_TARGET_DIM = 6  # rotation since the start of the episode
CLIP_DIM = 512


def our_name(official: str) -> str:
    """Return our name of a parameter of the official network (without the `model.` of a policy checkpoint)."""
    for prefix, ours in PREFIXES:
        if official.startswith(prefix):
            return ours + official[len(prefix) :]
    return official


def our_tensors(official: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the official network's state dict, and drop what its forward pass does not use."""
    return {our_name(name): tensor for name, tensor in official.items() if not name.startswith(UNUSED)}


def model_config(constructor: dict[str, Any]) -> ModelConfig:
    """Return the sizes that the official constructor's arguments stand for.

    Raises:
        ValueError: an argument asks for a part that this network does not have.
    """
    c = constructor
    if c["use_history_action"] or c["predict_wrist_img"] or c["action_model_params"]["act_model_type"] != "conv_fc":
        raise ValueError("history actions, a wrist camera and action heads other than conv_fc are not supported")
    if c["encoder_embed_dim"] != c["decoder_embed_dim"] or c["encoder_num_heads"] != c["decoder_num_heads"]:
        raise ValueError("the two transformers differ in width or heads")
    return ModelConfig(
        latent_size=c["img_size"] // c["vae_stride"],
        latent_channels=c["vae_embed_dim"],
        patch_size=c["patch_size"],
        action_dim=c["shape_meta"]["action"]["shape"][0],
        proprioception_dim=PROPRIOCEPTION_DIMS[c["task_name"]] if c["use_proprioception"] else 0,
        proprioception_steps=4 if c["different_history_freq"] else 16,
        proprioception_target_dim=PROPRIOCEPTION_TARGET_DIM if c["predict_proprioception"] else 0,
        text_dim=CLIP_DIM if c["language_emb_model"] == "clip" else 0,
        text_dropout=c["label_drop_prob"],
        width=c["encoder_embed_dim"],
        encoder_depth=c["encoder_depth"],
        decoder_depth=c["decoder_depth"],
        heads=c["encoder_num_heads"],
        mlp_ratio=c["mlp_ratio"],
        dropout=c["attn_dropout"],
        video_head_width=c["diffloss_w"],
        video_head_depth=c["diffloss_d"],
        action_head_width=c["diffloss_act_w"],
        action_head_depth=c["diffloss_act_d"],
        train_timesteps=c["act_diff_training_steps"],
    )
