# SPDX-License-Identifier: Apache-2.0
"""Train the network on demonstrations, over latents of a trained tokenizer.

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
from collections.abc import Sequence
from pathlib import Path

import torch

from uva_core import presets
from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.config import UvaConfig
from uva_core.data.readers import umi_zarr
from uva_core.data.windows import Windows
from uva_core.serialization import from_dict
from uva_core.training import initial_policy
from uva_core.training import tokenizer as tokenizer_training
from uva_core.training.latents import LATENTS_FILE, LatentWindows, cached_latents
from uva_core.training.recipes import UvaRecipe
from uva_core.training.trainer import POLICY_FILE, RunOptions, train


def run(
    config: UvaConfig,
    recipe: UvaRecipe,
    data: Sequence[Path],
    out: Path,
    init: Path | None = None,
    options: RunOptions = RunOptions(),
) -> Path:
    """Do a whole training run, and return the path of the trained policy.

    Args:
        config: the policy to train.
        recipe: how.
        data: demonstrations in the UMI layout, used as one set.
        out: folder of the run; holds the trained tokenizer, unless `init` brings one.
        init: checkpoint to fine-tune.
        options: seed, precision, checkpoints.

    Raises:
        FileNotFoundError: no such data.
        CheckpointError: `init`, the tokenizer or the cached latents cannot be read.
        ValueError: data, checkpoint and configuration do not fit together, or there is nothing to resume from.
    """
    sets = [umi_zarr.read(path) for path in data]
    windows, *others = [Windows(demonstrations, config.model, config.observation) for demonstrations in sets]
    for other in others:
        windows.extend(other)
    torch.manual_seed(options.seed)
    if init:
        policy = initial_policy.from_checkpoint(init, config, recipe)
    else:
        policy = initial_policy.untrained(config, tokenizer_training.load(out), windows, recipe)
    parts = [cached_latents(policy, d, out / LATENTS_FILE.format(i)) for i, d in enumerate(sets)]
    latents = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    train(policy, LatentWindows(policy, latents, windows), recipe, out, options)
    return out / POLICY_FILE


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="uva_tiny", help=f"one of: {', '.join(presets.names())} (default uva_tiny)")
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[Path("data/push.zarr")],
        help="demonstrations in the UMI layout, used as one set",
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
        if args.steps is not None:
            recipe = dataclasses.replace(recipe, steps=args.steps)
        options = RunOptions(args.seed, args.precision, args.save_every, args.stop_at, args.resume)
        run(config, recipe, args.data, args.out, args.init, options)
    except (ValueError, FileNotFoundError, CheckpointError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
