# SPDX-License-Identifier: Apache-2.0
"""Parameters of the policy node."""

from __future__ import annotations

from dataclasses import dataclass

from uva_core import MaskMode
from uva_node_utils.specs import param

MODES = tuple(mode.value for mode in MaskMode)


@dataclass(frozen=True)
class PolicyParameters:
    """See each parameter's description."""

    model: str = param("", "Checkpoint: a safetensors file written by uva_core.")
    mask_mode: str = param(
        "policy",
        "What the model does; may be set at any time, as by uva/set_mask_mode.",
        choices=MODES,
        read_only=False,
    )
    instruction: str = param(
        "",
        "What a model with language is told to do; may be set at any time, as by uva/set_instruction.",
        read_only=False,
    )
    candidates: int = param(1, "How many chunks policy_planner samples at once.", low=1, high=64)
    planner: bool = param(
        False, "Whether another node chooses among the candidates; if not, this one publishes the first."
    )
    rate_hz: float = param(
        5.0, "How often the model is asked [Hz]; slower where inference takes longer.", low=0.1, high=60.0
    )
    camera_latency_s: float = param(
        0.0, "How much older an image is than its stamp: from light to stamp [s].", low=0.0, high=1.0
    )
    pose_frame: str = param("base_link", "Frame of the EEF poses; messages in another one are refused.")
    sync_queue_size: int = param(
        250,
        "Messages per topic kept to find matching stamps: at 200 Hz 1.25 s, by which images may come late.",
        low=2,
        high=1000,
    )
    sync_slop_s: float = param(0.02, "Largest difference of matching stamps [s].", low=0.0, high=1.0)
    observation_timeout_s: float = param(
        1.0,
        "After this long without input, or this and 1 / rate_hz without output, the node says why [s].",
        low=0.1,
        high=60.0,
    )
    denoising_steps: int = param(0, "Denoising steps of a chunk; 0: as the checkpoint says.", low=0, high=1000)
    temperature: float = param(
        -1.0, "Sampling temperature of a chunk; negative: as the checkpoint says.", low=-1.0, high=2.0
    )
    video_iterations: int = param(1, "Autoregressive steps of a video prediction.", low=1, high=256)
    seed: int = param(
        0,
        "Seed of the sampling noise; the n-th inference uses seed + n * candidates, each candidate one more.",
        low=0,
    )
    threads: int = param(1, "Threads that torch may use.", low=1, high=64)
