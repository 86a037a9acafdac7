# SPDX-License-Identifier: Apache-2.0
"""Parameters of the policy node."""

from __future__ import annotations

from dataclasses import dataclass

from uva_core import MaskMode
from uva_node_utils.specs import param

MODES = tuple(mode.value for mode in MaskMode)


@dataclass(frozen=True)
class PolicyParameters:
    """Parameters of the node; each has its description."""

    model: str = param("", "Checkpoint: a safetensors file written by uva_core.")
    mask_mode: str = param(
        "policy",
        "What the model does; may be set at any time, as by uva/set_mask_mode.",
        choices=MODES,
        read_only=False,
    )
    instruction: str = param(
        "",
        "Instruction for a model with language; may be set at any time, as by uva/set_instruction.",
        read_only=False,
    )
    candidates: int = param(1, "How many chunks policy_planner samples at once.", low=1, high=64)
    planner: bool = param(
        False, "Whether another node chooses among the candidates; if not, this node publishes the first one."
    )
    rate_hz: float = param(5.0, "Rate of inferences [Hz]; lower where inference takes longer.", low=0.1, high=60.0)
    camera_latency_s: float = param(0.0, "How much older an image is than its stamp [s].", low=0.0, high=1.0)
    pose_frame: str = param("base_link", "Frame of the EEF poses; messages in another one are refused.")
    sync_queue_size: int = param(
        250,
        "Messages kept per topic to find matching stamps: 1.25 s at 200 Hz, by which images may be late.",
        low=2,
        high=1000,
    )
    sync_slop_s: float = param(0.02, "Largest difference of matching stamps [s].", low=0.0, high=1.0)
    observation_timeout_s: float = param(
        1.0,
        "The node reports why after this time without input, or this and 1 / rate_hz without output [s].",
        low=0.1,
        high=60.0,
    )
    denoising_steps: int = param(0, "Denoising steps of a chunk; 0: as in the checkpoint.", low=0, high=1000)
    temperature: float = param(
        -1.0, "Sampling temperature of a chunk; negative: as in the checkpoint.", low=-1.0, high=2.0
    )
    video_iterations: int = param(1, "Autoregressive steps of a video prediction.", low=1, high=256)
    seed: int = param(
        0,
        "Seed of the sampling noise; inference n uses seed + n * candidates, and the next ones for further candidates.",
        low=0,
    )
    threads: int = param(1, "Threads that torch may use.", low=1, high=64)
