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
from pathlib import Path

import torch

from uva_core import presets
from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.config import UvaConfig
from uva_core.data.readers.umi_zarr import ReplayBuffer
from uva_core.data.windows import Windows
from uva_core.network.tokenizer import Tokenizer
from uva_core.normalizer import LinearNormalizer
from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import from_dict
from uva_core.training import tokenizer as tokenizer_training
from uva_core.training.latents import LATENTS_FILE, LatentWindows, cached_latents
from uva_core.training.recipes import UvaRecipe
from uva_core.training.trainer import train


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
