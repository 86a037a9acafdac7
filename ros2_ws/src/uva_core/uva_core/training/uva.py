# SPDX-License-Identifier: Apache-2.0
"""Train the network on a replay buffer, over latents of a trained tokenizer.

    python -m uva_core.training.uva --preset uva_tiny --data data/push.zarr --out runs/uva_tiny
    python -m uva_core.training.uva --preset uva_tiny --data data/push.zarr runs/uva_tiny/corrections_1.zarr \\
        --init runs/uva_tiny/policy.safetensors --out runs/uva_tiny/tuned_1    # fine-tuning
    accelerate launch --cpu --num_processes 2 -m uva_core.training.uva ...   # data parallel

The run's folder holds the tokenizer, the state to resume from (`--resume`) and, at every save and at the end,
`policy.safetensors`: averaged weights, normalizers and configuration in one file. Trains on CPUs.

With `--init` a run starts from the weights, the normalizers and the tokenizer of a checkpoint, which must be of the
preset's network and observations, with a new optimizer and the preset's `fine_tuning` recipe.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import json
import shutil
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from uva_core import images, presets
from uva_core.checkpoint import safetensors_file as checkpoint
from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.config import UvaConfig, from_dict, to_dict
from uva_core.data.readers.umi_zarr import ReplayBuffer
from uva_core.data.windows import Windows
from uva_core.diffusion.denoising import TrainingDiffusion
from uva_core.modes import MaskMode
from uva_core.network.model import Uva
from uva_core.network.tokenizer import Tokenizer
from uva_core.normalizer import LinearNormalizer
from uva_core.policy.policy import UvaPolicy
from uva_core.training import tokenizer as tokenizer_training
from uva_core.training.losses import Losses, TrainingBatch, TrainingDraw, training_losses
from uva_core.training.recipes import UvaRecipe

POLICY_FILE = "policy.safetensors"
LATENTS_FILE = "latents_{}.safetensors"  # of each data set
IMITATION = (MaskMode.POLICY, MaskMode.POLICY_PLANNER)


class TrainingStep(nn.Module):
    """The loss as a module, so that a data-parallel wrapper sees one forward per step."""

    def __init__(self, model: Uva, action_draws: int) -> None:
        super().__init__()
        self.model = model
        self.action_draws = action_draws
        self.diffusion = TrainingDiffusion(model.config.train_timesteps)

    def forward(self, batch: TrainingBatch, modes: list[MaskMode]) -> Losses:
        """Draw the step's randomness and return its losses."""
        draw = TrainingDraw.random(self.model.config, len(modes), self.action_draws)
        return training_losses(self.model, self.diffusion, batch, modes, draw)


def encode_frames(policy: UvaPolicy, buffer: ReplayBuffer, chunk: int = 256) -> dict[str, Tensor]:
    """Posterior `mean` and `std` (T, C, H, W) of every frame, unscaled."""
    config = policy.config
    parts: dict[str, list[Tensor]] = {"mean": [], "std": []}
    with torch.no_grad():
        for start in tqdm(range(0, len(buffer), chunk), desc="encoding frames", unit="chunk"):
            pictures = buffer.images[start : start + chunk]
            frames = images.prepare(pictures, config.tokenizer.image_size, config.observation.resize)
            for name, value in zip(parts, policy.tokenizer.moments(frames), strict=True):
                parts[name].append(value)
    # Noise is drawn in the order of memory: the layout of a convolution would make it differ from what the cache gives.
    return {name: torch.cat(values).contiguous() for name, values in parts.items()}


def cached_latents(policy: UvaPolicy, buffer: ReplayBuffer, path: Path) -> dict[str, Tensor]:
    """Encode the frames, or read them from `path` if they were encoded by the same tokenizer before."""
    weights = torch.cat([p.detach().flatten() for p in policy.tokenizer.parameters()])
    key = {"frames": len(buffer), "tokenizer": hashlib.sha256(weights.numpy().tobytes()).hexdigest()}
    if path.exists():
        latents, found = checkpoint.load(path)
        if found == key:
            return latents
    latents = encode_frames(policy, buffer)
    checkpoint.save(path, latents, key)
    return latents


class LatentWindows:
    """Batches of windows over the latents of a whole replay buffer, in memory."""

    def __init__(self, policy: UvaPolicy, latents: dict[str, Tensor], windows: Windows) -> None:
        """Take `latents` from `encode_frames`; a fresh sample of the posterior is drawn at every use."""
        self.policy, self.windows = policy, windows
        self.mean, self.std = latents["mean"], latents["std"]
        self.actions = policy.action_normalizer.normalize(windows.actions)
        self.expert_actions = policy.action_normalizer.normalize(windows.expert_actions)
        self.proprioception = policy.proprioception_normalizer.normalize(windows.proprioception)

    def _latents(self, index: Tensor) -> Tensor:
        mean = self.mean[index]
        return (mean + self.std[index] * torch.randn_like(mean)) * self.policy.config.tokenizer.scaling_factor

    def batch(self, modes: list[MaskMode]) -> TrainingBatch:
        """Draw one window per mode; modes that imitate only get windows that an expert would have acted."""
        imitate = torch.tensor([mode in IMITATION for mode in modes])
        anywhere = torch.randint(len(self.windows), (len(modes),))
        imitable = self.windows.imitable[torch.randint(len(self.windows.imitable), (len(modes),))]
        index = torch.where(imitate, imitable, anywhere)
        return TrainingBatch(
            history=self._latents(self.windows.history[index]),
            future=self._latents(self.windows.future[index]),
            actions=torch.where(imitate[:, None, None], self.expert_actions[index], self.actions[index]),
            proprioception=self.proprioception[index] if self.policy.config.model.proprioception_dim else None,
        )


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices only: no biases, norms, embeddings or learned tokens (they have fewer than 2 free axes)."""
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in model.parameters():
        matrix = parameter.ndim >= 2 and parameter.shape[0] > 1
        (decayed if matrix else others).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def prepare_policy(config: UvaConfig, tokenizer: Tokenizer, windows: Windows, recipe: UvaRecipe) -> UvaPolicy:
    """Build an untrained policy around a tokenizer, with normalizers fitted to the windows."""
    policy = UvaPolicy(dataclasses.replace(config, tokenizer=tokenizer.config, trained_modes=recipe.trained_modes))
    policy.tokenizer.load_state_dict(tokenizer.state_dict())
    actions = torch.cat([windows.actions, windows.expert_actions[windows.imitable]]).flatten(0, 1)
    fit = functools.partial(
        LinearNormalizer.fit_limits,
        minimum_range=recipe.normalizer_minimum_range,
        outliers=recipe.normalizer_outliers,
    )
    policy.action_normalizer = fit(actions)
    if config.model.proprioception_dim:
        policy.proprioception_normalizer = fit(windows.proprioception.flatten(0, 1))
    return policy


def load_initial(path: Path, config: UvaConfig, recipe: UvaRecipe) -> UvaPolicy:
    """Load the policy that fine-tuning starts from.

    Raises:
        CheckpointError: missing or damaged.
        ValueError: it is of another network or other observations than `config`; says which fields differ.
    """
    policy = UvaPolicy.load(path)
    for part in ("model", "observation"):
        wanted, found = vars(getattr(config, part)), vars(getattr(policy.config, part))
        other = [f"{part}.{name} {found[name]}, not {wanted[name]}" for name in wanted if found[name] != wanted[name]]
        if other:
            raise ValueError(f"{path} is another model than the preset's: {'; '.join(other)}")
    policy.config = dataclasses.replace(policy.config, sampling=config.sampling, trained_modes=recipe.trained_modes)
    return policy


class RunState:
    """All that a run resumes from, in one folder that is replaced as a whole."""

    def __init__(self, folder: Path, accelerator: Accelerator, ema: EMAModel, identity: str) -> None:
        """`identity` stands for what must not change between start and resume."""
        self.folder, self.accelerator, self.ema, self.identity = folder, accelerator, ema, identity

    def save(self, step: int) -> None:
        """Write the state after `step` steps."""
        fresh = self.folder.with_name("state.new")
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(fresh))
        if self.accelerator.is_main_process:
            torch.save(self.ema.state_dict(), fresh / "ema.pt")
            (fresh / "progress.json").write_text(json.dumps({"step": step, "identity": self.identity}))
            shutil.rmtree(self.folder, ignore_errors=True)
            fresh.rename(self.folder)
        self.accelerator.wait_for_everyone()

    def load(self) -> int:
        """Restore everything, random numbers included, and return the step to go on from.

        Raises:
            ValueError: nothing to resume from, or the run was started with other data, tokenizer or recipe.
        """
        path = self.folder / "progress.json"
        if not path.exists():
            raise ValueError(f"nothing to resume from: no {path}")
        progress = json.loads(path.read_text())
        if progress["identity"] != self.identity:
            raise ValueError(f"{self.folder} belongs to a run with another configuration, tokenizer, recipe or data")
        self.accelerator.load_state(str(self.folder))
        self.ema.load_state_dict(torch.load(self.folder / "ema.pt", weights_only=True))
        return int(progress["step"])


def run_identity(policy: UvaPolicy, data: LatentWindows, recipe: UvaRecipe, seed: int) -> str:
    """Return a hash of what determines a run, except its length."""
    fixed = [to_dict(policy.config), to_dict(recipe) | {"steps": None}, len(data.windows), seed]
    digest = hashlib.sha256(json.dumps(fixed).encode())
    for normalizer in (policy.action_normalizer, policy.proprioception_normalizer):
        digest.update(normalizer.scale.numpy().tobytes())
    digest.update(data.mean[::1000].numpy().tobytes())
    return digest.hexdigest()


def train(policy: UvaPolicy, data: LatentWindows, recipe: UvaRecipe, args: argparse.Namespace) -> None:
    """Run the optimization; saves to `args.out` every `args.save_every` steps and at the end."""
    accelerator = Accelerator(cpu=True, mixed_precision=args.precision)
    torch.manual_seed(args.seed * 1000 + accelerator.process_index)
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
    state = RunState(args.out / "state", accelerator, ema, run_identity(policy, data, recipe, args.seed))
    start = state.load() if args.resume else 0

    def save(step: int) -> None:
        state.save(step)
        if accelerator.is_main_process:
            ema.store(policy.model.parameters())
            ema.copy_to(policy.model.parameters())
            policy.save(args.out / POLICY_FILE, torch.float16)
            ema.restore(policy.model.parameters())

    if accelerator.is_main_process:
        (args.out / "recipe.json").write_text(json.dumps(to_dict(recipe), indent=2) + "\n")
    running: dict[str, float] = {}
    log = (args.out / "log.jsonl").open("a" if args.resume else "w")
    stop = min(args.stop_at or recipe.steps, recipe.steps)
    bar = tqdm(
        range(start, stop),
        "uva",
        recipe.steps,
        initial=start,
        disable=not accelerator.is_main_process,
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
        if step % 50 == 0 and accelerator.is_main_process:
            bar.set_postfix({name: f"{value:.4f}" for name, value in running.items()})
            log.write(json.dumps({"step": step, **{n: round(v, 5) for n, v in running.items()}}) + "\n")
            log.flush()
        if (step + 1) % args.save_every == 0 or step + 1 == stop:
            save(step + 1)
    accelerator.end_training()


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="uva_tiny", help=f"one of: {', '.join(presets.names())} (default uva_tiny)")
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[Path("data/push.zarr")],
        help="replay buffers in the UMI layout, used as one",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/uva_tiny"),
        help="folder of the run; holds the trained tokenizer, unless --init brings one",
    )
    parser.add_argument("--init", type=Path, help="checkpoint to fine-tune")
    parser.add_argument("--steps", type=int, help="instead of the preset's number of steps")
    parser.add_argument("--stop-at", type=int, help="step to stop at, on the schedule of all steps")
    parser.add_argument("--save-every", type=int, default=1000, help="steps between checkpoints (default 1000)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument(
        "--precision", choices=["no", "bf16"], default="bf16", help="bf16 is 4 times faster on recent CPUs"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        preset = presets.load(args.preset)
        config = from_dict(UvaConfig, preset["config"])
        fine_tuning = preset.get("fine_tuning", {}) if args.init else {}
        recipe = from_dict(UvaRecipe, presets.recipe(args.preset, "training") | fine_tuning)
        if args.steps:
            recipe = dataclasses.replace(recipe, steps=args.steps)
        buffers = [ReplayBuffer(path) for path in args.data]
        windows, *others = [Windows(buffer, config.model, config.observation) for buffer in buffers]
        for other in others:
            windows.extend(other)
        torch.manual_seed(args.seed)
        if args.init:
            policy = load_initial(args.init, config, recipe)
        else:
            policy = prepare_policy(config, tokenizer_training.load(args.out), windows, recipe)
        parts = [cached_latents(policy, b, args.out / LATENTS_FILE.format(i)) for i, b in enumerate(buffers)]
        latents = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        train(policy, LatentWindows(policy, latents, windows), recipe, args)
    except (ValueError, FileNotFoundError, CheckpointError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
