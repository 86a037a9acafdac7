# SPDX-License-Identifier: Apache-2.0
"""The optimization: steps, averaged weights, log and checkpoints of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from uva_core.diffusion.training import TrainingDiffusion
from uva_core.modes import MaskMode
from uva_core.network.model import Uva
from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import to_dict
from uva_core.training.batch import TrainingBatch, TrainingDraw
from uva_core.training.latents import LatentWindows
from uva_core.training.losses import Losses, training_losses
from uva_core.training.recipes import UvaRecipe
from uva_core.training.run_state import RunState, run_identity

POLICY_FILE = "policy.safetensors"
LOG_FILE = "log.jsonl"
LOG_EVERY = 50  # steps


class TrainingStep(nn.Module):
    """The loss as a module, so that a data-parallel wrapper sees one forward per step."""

    def __init__(self, model: Uva, action_draws: int) -> None:
        super().__init__()
        self.model = model
        self.action_draws = action_draws
        self.diffusion = TrainingDiffusion(model.config.train_timesteps)

    def forward(self, batch: TrainingBatch, modes: Sequence[MaskMode]) -> Losses:
        """Draw the step's randomness and return its losses."""
        draw = TrainingDraw.random(self.model.config, len(modes), self.action_draws, batch.history.device)
        return training_losses(self.model, self.diffusion, batch, modes, draw)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices only: no biases, norms, embeddings or learned tokens (they have fewer than 2 free axes)."""
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in model.parameters():
        matrix = parameter.ndim >= 2 and parameter.shape[0] > 1
        (decayed if matrix else others).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


@dataclass(frozen=True)
class RunOptions:
    """What may differ between two runs of one recipe."""

    seed: int = 0  # of all randomness; each process of a data-parallel run derives its own
    precision: str = "bf16"  # or "no"; accelerate's names
    save_every: int = 1000  # steps between checkpoints
    stop_at: int | None = None  # step to stop at, on the schedule of all of the recipe's steps
    resume: bool = False  # go on from the last checkpoint in the run's folder

    def __post_init__(self) -> None:
        """Refuse what could only fail at the first checkpoint."""
        if self.save_every < 1 or (self.stop_at is not None and self.stop_at < 1):
            raise ValueError(f"save_every {self.save_every} and stop_at {self.stop_at} must be 1 or more steps")


def train(policy: UvaPolicy, data: LatentWindows, recipe: UvaRecipe, out: Path, options: RunOptions) -> None:
    """Train the policy's network in place, on CPUs; write log, state and averaged weights to the folder `out`.

    Raises:
        ValueError: the recipe trains no mode or has no steps, there is nothing to resume from, or the state is another
            run's.
    """
    if not recipe.trained_modes or recipe.steps < 1:
        raise ValueError(f"nothing to train: {recipe.steps} steps, windows of a step by mode: {recipe.windows}")
    accelerator = Accelerator(cpu=True, mixed_precision=options.precision)
    torch.manual_seed(options.seed * 1000 + accelerator.process_index)
    step_module = TrainingStep(policy.model, recipe.action_draws)
    optimizer = torch.optim.AdamW(
        parameter_groups(policy.model, recipe.weight_decay), lr=recipe.learning_rate, betas=recipe.betas, fused=True
    )
    ema = EMAModel(
        policy.model.parameters(), decay=recipe.ema_max, use_ema_warmup=True, inv_gamma=1.0, power=recipe.ema_power
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, recipe.warmup_steps, recipe.steps)
    wrapped, optimizer = accelerator.prepare(step_module, optimizer)
    accelerator.register_for_checkpointing(schedule)
    state = RunState(out / "state", accelerator, ema, run_identity(policy, data, recipe, options.seed))
    start = state.load() if options.resume else 0

    def save(step: int) -> None:
        state.save(step)
        if accelerator.is_main_process:
            ema.store(policy.model.parameters())
            ema.copy_to(policy.model.parameters())
            policy.save(out / POLICY_FILE, torch.float16)
            ema.restore(policy.model.parameters())

    out.mkdir(parents=True, exist_ok=True)
    log = out / LOG_FILE
    if accelerator.is_main_process:
        (out / "recipe.json").write_text(json.dumps(to_dict(recipe), indent=2) + "\n")
        if not options.resume:
            log.write_text("")
    running: dict[str, float] = {}
    stop = min(options.stop_at or recipe.steps, recipe.steps)
    bar = tqdm(
        range(start, stop), "uva", recipe.steps, initial=start, disable=not accelerator.is_main_process, unit="step"
    )
    for step in bar:
        modes = recipe.modes(step)
        # The flash kernel's backward pass is six times slower than plain matrices on a CPU at this sequence length.
        with accelerator.autocast(), sdpa_kernel(SDPBackend.MATH):
            losses = wrapped(data.batch(modes), modes)
            accelerator.backward(losses.total)
        accelerator.clip_grad_norm_(policy.model.parameters(), recipe.gradient_clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        ema.step(policy.model.parameters())
        for name in ("video", "action"):
            value = getattr(losses, name).item()
            running[name] = 0.98 * running.get(name, value) + 0.02 * value
        if step % LOG_EVERY == 0 and accelerator.is_main_process:
            bar.set_postfix({name: f"{value:.4f}" for name, value in running.items()})
            with log.open("a") as file:
                file.write(json.dumps({"step": step, **{n: round(v, 5) for n, v in running.items()}}) + "\n")
        if (step + 1) % options.save_every == 0 or step + 1 == stop:
            save(step + 1)
    accelerator.end_training()
