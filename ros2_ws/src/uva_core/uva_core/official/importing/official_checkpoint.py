# SPDX-License-Identifier: Apache-2.0
"""The official policy checkpoint: from its hydra configuration and its tensors' shapes to a configuration of ours."""

from __future__ import annotations

import itertools
import re
from typing import Any

import torch
from torch import Tensor

from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.config import UvaConfig
from uva_core.diffusion.config import SamplingConfig
from uva_core.modes import RULES
from uva_core.network.config import ModelConfig, TokenizerConfig
from uva_core.observation.config import ObservationConfig
from uva_core.official import names as official
from uva_core.official.importing.hydra_config import HydraConfig
from uva_core.poses import POSE_DIM
from uva_core.serialization import from_dict, to_dict

# The official `model_size`: width, blocks in each transformer, attention heads.
MODEL_SIZES = {
    "mar_tiny": (768, 3, 6),
    "mar_small": (768, 6, 6),
    "mar_base": (768, 12, 12),
    "mar_large": (1024, 16, 16),
    "mar_huge": (1280, 20, 16),
}
TWO_MODES = {"policy_model_full_dynamics_model": ("policy_model", "full_dynamic_model")}
POLICY = "model.policy"
NETWORK = f"{POLICY}.autoregressive_model_params"
DEFAULTS = {  # of the official constructors, for keys that a configuration may leave out
    "img_size": 256,
    "vae_stride": 16,
    "patch_size": 1,
    "vae_embed_dim": 16,
    "label_drop_prob": 0.1,
    "attn_dropout": 0.1,
    "proj_dropout": 0.1,
    "predict_video": True,
    "act_diff_training_steps": 1000,
}
UMI_RECORDING_RATE_HZ = 60.0  # of the hand-held gripper's camera
FLAGS = (
    "use_history_action",
    "use_proprioception",
    "predict_wrist_img",
    "different_history_freq",
    "predict_proprioception",
)


def constructor(hydra: HydraConfig, network: dict[str, Tensor], heads: int | None = None) -> dict[str, Any]:
    """Return the arguments that the official network was built with.

    Args:
        hydra: the checkpoint's configuration.
        network: the network's tensors under their official names. Where their sizes contradict the configuration,
            the tensors count.
        heads: attention heads, which no tensor shows; needed where the configuration names no published size.

    Raises:
        CheckpointError: sizes or heads cannot be told.
    """
    width, decoder_width = (_rows(network, name) for name in ("z_proj.weight", "decoder_embed.weight"))
    if width is None:
        raise CheckpointError("it has no UVA network (no tensor model.z_proj.weight)")
    known_width, known_depth, known_heads = MODEL_SIZES.get(hydra.get(f"{NETWORK}.model_size"), (None, None, None))
    if known_width != width:
        known_depth = known_heads = None
    heads = heads or hydra.get(f"{NETWORK}.encoder_num_heads", known_heads)
    if heads is None:
        raise CheckpointError(f"its configuration does not tell the attention heads of a width of {width}: use --heads")
    hidden = _rows(network, "encoder_blocks.0.mlp.fc1.weight")
    video = _head_size(hydra, network, "diffloss", "diffloss")
    action = _head_size(hydra, network, "diffactloss", "diffloss_act")
    return {
        **{key: hydra.get(f"{NETWORK}.{key}", default) for key, default in DEFAULTS.items()},
        **{key: bool(hydra.get(f"{POLICY}.{key}", False)) for key in FLAGS},
        "encoder_embed_dim": width,
        "encoder_depth": hydra.get(f"{NETWORK}.encoder_depth", known_depth) or _depth(network, "encoder_blocks"),
        "encoder_num_heads": heads,
        "decoder_embed_dim": decoder_width or width,
        "decoder_depth": hydra.get(f"{NETWORK}.decoder_depth", known_depth) or _depth(network, "decoder_blocks"),
        "decoder_num_heads": hydra.get(f"{NETWORK}.decoder_num_heads", heads),
        "mlp_ratio": hidden / width if hidden else 4.0,
        "diffloss_w": video[0],
        "diffloss_d": video[1],
        "diffloss_act_w": action[0],
        "diffloss_act_d": action[1],
        "action_mask_ratio": hydra.get(f"{POLICY}.action_mask_ratio", 0.5),
        "action_model_params": {
            "predict_action": bool(hydra.get(f"{POLICY}.action_model_params.predict_action", False)),
            "act_model_type": hydra.get(f"{POLICY}.action_model_params.act_model_type", "conv_fc"),
        },
        "shape_meta": hydra.get(f"{POLICY}.shape_meta") or hydra.get("task.shape_meta"),
        "task_name": hydra.get("task.name", ""),
        "language_emb_model": _language_model(hydra, network),
    }


def trained_modes(hydra: HydraConfig) -> tuple[str, ...]:
    """Return our names of the mask modes that the training drew from (the official policy's own rule)."""
    selected = hydra.get(f"{POLICY}.selected_training_mode")
    names = TWO_MODES.get(selected, (selected,)) if selected else hydra.get("task.task_modes", [])
    return tuple(mode.value for mode, rule in RULES.items() if not names or rule.official_name in names)


def policy_config(hydra: HydraConfig, network: dict[str, Tensor], vae: TokenizerConfig, heads: int | None) -> UvaConfig:
    """Return our configuration of an official policy.

    Raises:
        CheckpointError: the configuration asks for what this network does not have, or lacks what is needed.
    """
    try:
        arguments = constructor(hydra, network, heads)
        model = official.model_config(arguments)
        return UvaConfig(
            model=model,
            tokenizer=from_dict(TokenizerConfig, to_dict(vae) | {"image_size": arguments["img_size"]}),
            observation=_observation(hydra, model, arguments["task_name"]),
            sampling=_sampling(hydra),
            trained_modes=trained_modes(hydra),
        )
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise CheckpointError(f"its configuration does not describe a UVA policy: {error}") from None


def identity_normalizers(config: ModelConfig) -> dict[str, Tensor]:
    """Return the tensors of normalizers that change nothing."""
    tensors = {}
    for name, dim in (("action", config.action_dim), ("proprioception", config.proprioception_dim)):
        tensors[f"{name}_normalizer.scale"] = torch.ones(dim)
        tensors[f"{name}_normalizer.offset"] = torch.zeros(dim)
    return tensors


def normalizer_sources(hydra: HydraConfig, config: ModelConfig) -> dict[str, list[str]]:
    """Return for each tensor of our normalizers the official ones that it is joined from, in the input's order.

    Empty for a task that is trained without normalization.
    """
    if hydra.get("task.dataset.normalizer_type") == "none":
        return {}
    fields = {"action_normalizer": ["action"]}
    if config.proprioception_dim:
        fields["proprioception_normalizer"] = list(official.state_parts(hydra.get("task.name", "")))
    return {
        f"{ours}.{kind}": [f"normalizer.params_dict.{field}.{kind}" for field in theirs]
        for ours, theirs in fields.items()
        for kind in ("scale", "offset")
    }


def _observation(hydra: HydraConfig, model: ModelConfig, task: str) -> ObservationConfig:
    first_action_step = 0 if hydra.get(f"{POLICY}.shift_action", True) else 1
    if task == "umi":
        for key in ("obs_pose_repr", "action_pose_repr"):
            if (found := hydra.get(f"task.pose_repr.{key}", "relative")) != "relative":
                raise ValueError(f"{key} '{found}' is not supported")
        rate_hz = UMI_RECORDING_RATE_HZ / hydra.get("task.obs_down_sample_steps", 3)
        # The published client smooths what this task predicts, and no other's.
        return ObservationConfig(rate_hz=rate_hz, first_action_step=first_action_step, smooth_actions=3)
    absolute = model.action_dim == POSE_DIM and hydra.get("task.dataset.abs_action")
    return ObservationConfig(
        rate_hz=float(hydra.get("task.env_runner.fps", 10)),
        state_space="vector",
        action_space="absolute_pose" if absolute else "vector",
        first_action_step=first_action_step,
        smooth_actions=1,
    )


def _sampling(hydra: HydraConfig) -> SamplingConfig:
    temperature = float(hydra.get(f"{NETWORK}.temperature", 0.95))
    return SamplingConfig(
        action_steps=int(hydra.get(f"{NETWORK}.act_diff_testing_steps", 100)),
        video_steps=int(hydra.get(f"{NETWORK}.num_sampling_steps", 100)),
        action_temperature=temperature,
        video_temperature=temperature,
    )


def _language_model(hydra: HydraConfig, network: dict[str, Tensor]) -> str | None:
    # Trained with DeepSpeed, the official workspace builds the network without language, whatever the task says.
    unstated = hydra.get("training.deepspeed_config") is not None
    if "text_proj_cond.weight" in network or (hydra.get("task.dataset.language_emb_model") == "clip" and not unstated):
        return "clip"
    return None


def _head_size(hydra: HydraConfig, network: dict[str, Tensor], prefix: str, key: str) -> tuple[int, int]:
    """Width and blocks of a diffusion head: as configured, unless its tensors are of another width."""
    configured = (hydra.get(f"{NETWORK}.{key}_w", 1024), hydra.get(f"{NETWORK}.{key}_d", 6))
    width = _rows(network, f"{prefix}.net.input_proj.weight")
    return configured if width in (None, configured[0]) else (width, _depth(network, f"{prefix}.net.res_blocks"))


def _rows(tensors: dict[str, Tensor], name: str) -> int | None:
    return len(tensors[name]) if name in tensors and tensors[name].ndim else None


def _depth(tensors: dict[str, Tensor], prefix: str) -> int:
    """Count the blocks 0, 1, 2, ... that have tensors."""
    pattern = re.compile(rf"{re.escape(prefix)}\.(\d+)\.")
    present = {match[1] for match in map(pattern.match, tensors) if match}
    return next(n for n in itertools.count() if str(n) not in present)
