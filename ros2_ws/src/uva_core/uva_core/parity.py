# SPDX-License-Identifier: Apache-2.0
"""Golden cases: inputs, weights, recorded noise and outputs of the official implementation, to compare with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from uva_core.losses import RowDraw, TrainingBatch, TrainingDraw
from uva_core.model import ModelInputs, Uva
from uva_core.official import model_config, our_tensors

STATE_KEYS = (
    "robot0_eef_pos",
    "robot0_eef_rot_axis_angle",
    "robot0_gripper_width",
    "robot0_eef_rot_axis_angle_wrt_start",
)
PRECISION = 1e-5  # of float32; where a case records more noise of its own for an output, five times that


class GoldenCase:
    """Weights, inputs, noise and outputs of one recorded case."""

    def __init__(self, folder: Path) -> None:
        """Read `folder`, which holds case.json and tensors.safetensors, and build its network."""
        self.case: dict[str, Any] = json.loads((folder / "case.json").read_text())
        self.tensors = load_file(folder / "tensors.safetensors")
        for alias, original in self.case["same_as"].items():
            self.tensors[alias] = self.tensors[original]
        self.batch: int = self.case["batch"]
        constructor = {key: entry["value"] for key, entry in self.case["constructor"].items()}
        self.model = Uva(model_config(constructor)).eval()
        weights = {n.removeprefix("weights/"): t for n, t in self.tensors.items() if n.startswith("weights/")}
        self.model.load_state_dict(our_tensors(weights))

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    @property
    def proprioception(self) -> Tensor | None:
        """(B, S, P) robot state, where the model takes one."""
        if not self.model.config.proprioception_dim:
            return None
        return torch.cat([self[f"inputs/proprio/{key}"] for key in STATE_KEYS], dim=-1)

    def inputs(self, **given: Tensor) -> ModelInputs:
        """What every mode is given, and `given` on top."""
        return ModelInputs(
            history=self["inputs/cond"],
            proprioception=self.proprioception,
            text=self.tensors.get("inputs/text_latents"),
            **given,
        )

    def training_batch(self) -> TrainingBatch:
        """Targets and inputs of the recorded training step."""
        target = "inputs/proprio/robot0_eef_rot_axis_angle_wrt_start_pred"
        return TrainingBatch(
            history=self["inputs/cond"],
            future=self["inputs/x"],
            actions=self["inputs/actions"],
            proprioception=self.proprioception,
            proprioception_target=self.tensors.get(target),
            text=self.tensors.get("inputs/text_latents"),
        )

    def training_draw(self) -> TrainingDraw:
        """All randomness of the recorded training step."""

        def rows(name: str) -> RowDraw:
            timestep, noise = self[f"train/t_{name}"].long(), self[f"train/noise_{name}"]
            return RowDraw(timestep.expand(self.batch, -1)[None], noise.expand(self.batch, *noise.shape[1:])[None])

        return TrainingDraw(
            orders=self["orders"].long(),
            mask_ratios=self["train/mask_rate"].expand(self.batch),
            video=rows("video"),
            actions=rows("action"),
            proprioception=rows("proprio") if "train/t_proprio" in self else None,
        )

    def check(self, name: str, result: Tensor) -> None:
        """Compare a result with a recorded output.

        Raises:
            AssertionError: further off than rounding explains.
        """
        recorded = self.case["float32_noise"]["values"]
        noise = recorded.get(self.case["same_as"].get(name, name), [0.0])[0]
        allowed = max(PRECISION, 5 * noise)
        error = (result.detach() - self[name]).abs().max().item()
        if not error <= allowed:
            raise AssertionError(f"{name}: off by {error:.2e}, allowed {allowed:.2e}")

    def check_z(self, mode: str, z: Tensor) -> None:
        """Compare a joint latent, of which some cases hold only probed tokens."""
        if f"{mode}/z" in self:
            self.check(f"{mode}/z", z)
        else:
            self.check(f"{mode}/z_probe", z[:, self["probe/tokens"].long()])
