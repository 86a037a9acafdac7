# SPDX-License-Identifier: Apache-2.0
"""Translate names and sizes of the official implementation to those of this package."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from uva_core.network.config import ModelConfig
from uva_core.serialization import from_dict

# Official prefix -> ours. The first match counts, so a longer prefix stands before a shorter one that it begins with.
PREFIXES = (
    ("fake_latent_x", "missing_frame"),
    ("fake_latent_wrist_x", "missing_wrist_frame"),
    ("fake_latent_history_action", "missing_past_action"),
    ("fake_action_latent", "missing_action"),
    ("fake_latent", "missing_text"),
    ("z_proj_cond.", "history_proj."),
    ("z_proj_ln.", "input_norm."),
    ("z_proj_wrist.", "wrist_future_proj."),
    ("z_proj.", "future_proj."),
    ("action_proj_cond.", "action_proj."),
    ("history_action_proj_cond.", "past_action_proj."),
    ("proprioception_image_proj_cond.", "wrist_history_proj."),
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
    ("diffloss_wrist.", "wrist_video_head."),
    ("diffactloss.", "action_head."),
    ("diffproploss.", "proprioception_head."),
)
# Official `act_model_type` -> our action head.
ACTION_HEADS = {"conv_fc": "pooled", "conv_ori": "frame_mean", "conv2": "token_conv", "fc2": "token_mlp"}
# Robot state by task: names of its parts, in order, with their sizes.
UMI_STATE = {
    "robot0_eef_pos": 3,
    "robot0_eef_rot_axis_angle": 6,
    "robot0_gripper_width": 1,
    "robot0_eef_rot_axis_angle_wrt_start": 6,
}
ROBOMIMIC_STATE = {"robot0_eef_pos": 3, "robot0_eef_quat": 4, "robot0_gripper_qpos": 2}
CLIP_DIM = 512
ACTION_STEPS = 16


def state_parts(task: str) -> dict[str, int]:
    """Return the parts of a task's robot state and their sizes, in the order in which they are concatenated."""
    return UMI_STATE if task == "umi" else ROBOMIMIC_STATE


def state_target_parts(task: str) -> dict[str, int]:
    """Return the parts of the robot state that the robot-state head predicts."""
    last = "robot0_eef_rot_axis_angle_wrt_start"
    return {last: UMI_STATE[last]} if task == "umi" else ROBOMIMIC_STATE


def our_name(official: str) -> str:
    """Return our name of a parameter of the official network (without the `model.` of a policy checkpoint)."""
    for prefix, ours in PREFIXES:
        if official.startswith(prefix):
            return ours + official[len(prefix) :]
    return official


def unused(name: str, config: ModelConfig) -> bool:
    """Tell whether the official constructor makes this parameter without using it in its forward pass."""
    return name.startswith("proprioception_image_proj_cond.") and not config.wrist_history


def our_tensors(official: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Rename the official network's state dict, and leave out what its forward pass does not use."""
    return {our_name(name): tensor for name, tensor in official.items() if not unused(name, config)}


def model_config(constructor: dict[str, Any]) -> ModelConfig:
    """Return the sizes that the official constructor's arguments stand for.

    Raises:
        ValueError: an argument asks for what the official forward pass cannot do, or this network does not have.
    """
    c = constructor
    task, heads = c["task_name"], c["action_model_params"]
    if c["encoder_embed_dim"] != c["decoder_embed_dim"] or c["encoder_num_heads"] != c["decoder_num_heads"]:
        raise ValueError("the two transformers differ in width or heads")
    if not c["predict_video"]:
        raise ValueError("models without a video head (predict_video: False) are not supported")
    if c["use_proprioception"] and ("pusht" in task or "block_push" in task):
        raise ValueError(f"the published model has no working robot-state input for task '{task}'")
    if heads["act_model_type"] not in ACTION_HEADS:
        raise ValueError(f"unknown act_model_type '{heads['act_model_type']}'; known: {', '.join(ACTION_HEADS)}")
    if c["attn_dropout"] != c["proj_dropout"]:
        raise ValueError("attn_dropout and proj_dropout differ")
    target = sum(state_target_parts(task).values())
    sizes = {
        "latent_size": c["img_size"] // c["vae_stride"],
        "latent_channels": c["vae_embed_dim"],
        "patch_size": c["patch_size"],
        "action_dim": c["shape_meta"]["action"]["shape"][0],
        "past_actions": c["use_history_action"],
        "past_action_dropout": 1 - c["action_mask_ratio"],
        "proprioception_dim": sum(state_parts(task).values()) if c["use_proprioception"] else 0,
        "proprioception_steps": 4 if c["different_history_freq"] else ACTION_STEPS,
        "proprioception_target_dim": target if c["predict_proprioception"] else 0,
        "wrist_history": c["use_proprioception"] and task != "umi",
        "wrist_future": c["predict_wrist_img"],
        "text_dim": CLIP_DIM if c["language_emb_model"] == "clip" else 0,
        "text_dropout": c["label_drop_prob"],
        "width": c["encoder_embed_dim"],
        "encoder_depth": c["encoder_depth"],
        "decoder_depth": c["decoder_depth"],
        "heads": c["encoder_num_heads"],
        "mlp_ratio": c["mlp_ratio"],
        "dropout": c["attn_dropout"],
        "video_head_width": c["diffloss_w"],
        "video_head_depth": c["diffloss_d"],
        "action_head": ACTION_HEADS[heads["act_model_type"]] if heads["predict_action"] else None,
        "action_head_width": c["diffloss_act_w"],
        "action_head_depth": c["diffloss_act_d"],
        "train_timesteps": c["act_diff_training_steps"],
    }
    return from_dict(ModelConfig, sizes)
