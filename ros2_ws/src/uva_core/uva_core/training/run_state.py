# SPDX-License-Identifier: Apache-2.0
"""The state of a run on disk: what a run that was cut off resumes from, and whether it still is the same run."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError

from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import to_dict
from uva_core.training.latents import LatentWindows
from uva_core.training.recipes import UvaRecipe

OLD_STATE = "state.old"


class RunState:
    """All that a run resumes from, in one folder that is replaced as a whole."""

    def __init__(self, folder: Path, accelerator: Accelerator, ema: EMAModel, identity: str) -> None:
        """Save to and load from `folder`; `identity` stands for what must not change between start and resume."""
        self.folder, self.accelerator, self.ema, self.identity = folder, accelerator, ema, identity

    def save(self, step: int) -> None:
        """Write the state after `step` steps."""
        fresh = self.folder.with_name("state.new")
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(fresh))
        if self.accelerator.is_main_process:
            torch.save(self.ema.state_dict(), fresh / "ema.pt")
            (fresh / "progress.json").write_text(json.dumps({"step": step, "identity": self.identity}))
            old = self.folder.with_name(OLD_STATE)
            shutil.rmtree(old, ignore_errors=True)
            if self.folder.exists():
                self.folder.rename(old)
            fresh.rename(self.folder)
            shutil.rmtree(old, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def load(self) -> int:
        """Restore everything, random numbers included, and return the step to go on from.

        Raises:
            ValueError: nothing to resume from, or the run was started with other data, tokenizer or recipe.
        """
        old = self.folder.with_name(OLD_STATE)
        if not self.folder.exists() and old.exists():  # killed between the two renamings
            old.rename(self.folder)
        path = self.folder / "progress.json"
        if not path.exists():
            raise ValueError(f"nothing to resume from: no {path}")
        try:
            progress = json.loads(path.read_text())
            step, identity = int(progress["step"]), progress["identity"]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path} is damaged ({error}): start anew, without resuming") from None
        if identity != self.identity:
            raise ValueError(f"{self.folder} belongs to a run with another configuration, tokenizer, recipe or data")
        try:
            self.accelerator.load_state(str(self.folder))
            self.ema.load_state_dict(torch.load(self.folder / "ema.pt", weights_only=True))
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{self.folder} is damaged ({reason}): start anew, without resuming") from None
        return step


def run_identity(policy: UvaPolicy, data: LatentWindows, recipe: UvaRecipe, seed: int) -> str:
    """Return a hash of what determines a run, except its length."""
    fixed = [to_dict(policy.config), to_dict(recipe) | {"steps": None}, len(data.windows), seed]
    digest = hashlib.sha256(json.dumps(fixed).encode())
    for normalizer in (policy.action_normalizer, policy.proprioception_normalizer):
        digest.update(normalizer.scale.numpy().tobytes())
    digest.update(data.latents["mean"][::1000].numpy().tobytes())
    return digest.hexdigest()
