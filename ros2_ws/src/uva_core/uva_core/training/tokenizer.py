# SPDX-License-Identifier: Apache-2.0
"""Train the image tokenizer on the frames of demonstrations.

python -m uva_core.training.tokenizer --preset uva_tiny --data data/push.zarr --out runs/uva_tiny
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch
from diffusers.optimization import get_cosine_schedule_with_warmup
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from uva_core import images, presets
from uva_core.checkpoint import safetensors_file as checkpoint
from uva_core.config import UvaConfig
from uva_core.data.readers import umi_zarr
from uva_core.network.config import TokenizerConfig
from uva_core.network.tokenizer import Tokenizer
from uva_core.serialization import from_dict, to_dict
from uva_core.training.recipes import TokenizerRecipe

FOREGROUND_CONTRAST = 0.15  # difference from the median image (in [-1, 1] units) that makes a pixel foreground
VALIDATION_EVERY = 50  # the last of so many frames is held out
FILE = "tokenizer.safetensors"


def prepared_frames(pictures: NDArray[np.uint8], config: UvaConfig, chunk: int = 512) -> Tensor:
    """Return all frames as the tokenizer sees them, as 8-bit numbers to save memory.

    Args:
        pictures: (T, H, W, 3) uint8 RGB, or what is sliced like it.
        config: size, and how to resize.
        chunk: pictures that are in memory at once.

    Returns:
        (T, 3, S, S) uint8.
    """
    parts = []
    for start in tqdm(range(0, pictures.shape[0], chunk), desc="reading frames", unit="chunk"):
        batch = np.asarray(pictures[start : start + chunk])
        frames = images.prepare(batch, config.tokenizer.image_size, config.observation.resize)
        parts.append(((frames + 1) * 127.5).round().to(torch.uint8))
    return torch.cat(parts)


def to_float(frames: Tensor) -> Tensor:
    """8-bit frames -> [-1, 1], the tokenizer's range."""
    return frames.float() / 127.5 - 1


def reconstruction_loss(recipe: TokenizerRecipe, target: Tensor, output: Tensor, median: Tensor) -> Tensor:
    """Squared plus absolute error, heavier where the target differs from the median image."""
    foreground = ((target - median).abs().amax(dim=1, keepdim=True) > FOREGROUND_CONTRAST).float()
    weight = 1 + recipe.foreground_weight * foreground
    error = output.float() - target
    return (weight * (error.square() + recipe.l1_weight * error.abs())).mean()


def train(config: UvaConfig, recipe: TokenizerRecipe, frames: Tensor, seed: int) -> Tokenizer:
    """Train a tokenizer on `frames` (T, 3, S, S) uint8; the last of every 50 frames is held out."""
    torch.manual_seed(seed)
    tokenizer = Tokenizer(config.tokenizer)
    optimizer = torch.optim.AdamW(tokenizer.parameters(), lr=recipe.learning_rate, weight_decay=1e-4)
    schedule = get_cosine_schedule_with_warmup(optimizer, recipe.warmup_steps, recipe.steps)
    index = torch.arange(len(frames))
    training = index[index % VALIDATION_EVERY != VALIDATION_EVERY - 1]
    median = frames[:: max(1, len(frames) // 500)].float().median(dim=0).values / 127.5 - 1
    bar = tqdm(range(recipe.steps), desc="tokenizer", unit="step")
    for step in bar:
        chosen = training[torch.randint(len(training), (recipe.batch_size,))]
        target = to_float(frames[chosen])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mean, std = tokenizer.moments(target)
            mean, std = mean.float(), std.float()
            latent = mean + std * torch.randn_like(mean)
            output = tokenizer.decode(latent * config.tokenizer.scaling_factor)
        kl = 0.5 * (mean.square() + std.square() - 1 - 2 * std.log()).mean()
        reconstruction = reconstruction_loss(recipe, target, output, median)
        loss = reconstruction + recipe.kl_weight * kl
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tokenizer.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            bar.set_postfix(loss=f"{reconstruction.item():.4f}", kl=f"{kl.item():.2f}")
    return tokenizer.eval()


@torch.no_grad()
def fit_scaling(tokenizer: Tokenizer, frames: Tensor) -> Tokenizer:
    """Return the tokenizer with the scaling that gives latents unit standard deviation."""
    sample = to_float(frames[:: max(1, len(frames) // 1000)])
    mean, _ = tokenizer.moments(sample)
    scaled = Tokenizer(dataclasses.replace(tokenizer.config, scaling_factor=1.0 / mean.std().item()))
    scaled.load_state_dict(tokenizer.state_dict())
    return scaled.eval()


def load(folder: str | Path) -> Tokenizer:
    """Load the tokenizer of a run.

    Raises:
        checkpoint.CheckpointError: missing or damaged.
    """
    return checkpoint.load_module(Path(folder) / FILE, Tokenizer, TokenizerConfig).eval()


def held_out_psnr(tokenizer: Tokenizer, frames: Tensor) -> float:
    """Return the peak signal-to-noise ratio [dB] of up to 1000 frames that were left out of the training."""
    with torch.no_grad():
        target = to_float(frames[VALIDATION_EVERY - 1 :: VALIDATION_EVERY][:1000])
        squared_error = (tokenizer.decode(tokenizer.encode(target)) - target).square().mean()
    return float(10 * torch.log10(4 / squared_error))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="uva_tiny", help=f"one of: {', '.join(presets.names())} (default uva_tiny)")
    parser.add_argument("--data", type=Path, default=Path("data/push.zarr"), help="demonstrations in the UMI layout")
    parser.add_argument("--out", type=Path, default=Path("runs/uva_tiny"), help="folder of the run")
    parser.add_argument("--steps", type=int, help="instead of the preset's number of steps")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        preset = presets.load(args.preset)
        config = from_dict(UvaConfig, preset["config"])
        recipe = from_dict(TokenizerRecipe, preset.get("tokenizer_training", {}))
        if args.steps is not None:
            recipe = dataclasses.replace(recipe, steps=args.steps)
        frames = prepared_frames(umi_zarr.read(args.data).images, config)
        if len(frames) < VALIDATION_EVERY:
            raise ValueError(f"{args.data} has {len(frames)} frames: too few, one in {VALIDATION_EVERY} is held out")
    except (ValueError, FileNotFoundError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    tokenizer = fit_scaling(train(config, recipe, frames, args.seed), frames)
    checkpoint.save(args.out / FILE, tokenizer.state_dict(), to_dict(tokenizer.config))
    print(f"held-out frames: {held_out_psnr(tokenizer, frames):.1f} dB; wrote {args.out / FILE}")


if __name__ == "__main__":
    main()
