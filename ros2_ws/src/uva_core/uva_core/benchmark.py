# SPDX-License-Identifier: Apache-2.0
"""Time and memory of one prediction (batch 1) of each of the five jobs, stage by stage where there are stages.

python -m uva_core.benchmark --model models/uva_tiny.safetensors
python -m uva_core.benchmark --preset umi_multitask --repeats 1 --action-steps 16 --video-steps 16 --threads 2
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from tqdm import tqdm

from uva_core import presets
from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.config import UvaConfig
from uva_core.diffusion.config import SamplingConfig
from uva_core.modes import MaskMode
from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import from_dict

Job = Callable[[int], dict[str, float]]
"""Run one prediction with this seed, and return seconds by stage."""


def jobs(policy: UvaPolicy, sampling: SamplingConfig) -> dict[MaskMode, Job]:
    """Return the five jobs on a blank observation."""
    observation = policy.blank_observation()
    frames = [observation.frames]
    wrist = frames if policy.config.model.wrist_future else None
    (chunk,) = policy.predict_actions([observation], [0], replace(sampling, action_steps=2))

    def video(seed: int) -> dict[str, float]:
        return policy.predict_video([observation], [seed], sampling)[0].stage_s

    def forward(seed: int) -> dict[str, float]:
        return policy.predict_forward(observation, [chunk], [seed], sampling)[0].stage_s

    return {
        MaskMode.POLICY: lambda seed: policy.predict_actions([observation], [seed], sampling)[0].stage_s,
        MaskMode.VIDEO: video,
        MaskMode.FORWARD_DYNAMICS: forward,
        MaskMode.INVERSE_DYNAMICS: lambda seed: (
            policy.predict_inverse([observation], frames, [seed], sampling, wrist)[0].stage_s
        ),
        MaskMode.POLICY_PLANNER: lambda seed: policy.predict_joint([observation], [seed], sampling)[0].stage_s,
    }


def time_job(job: Job, name: str, repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each repeat by stage, and of the whole (`inference`), after one that is not counted."""
    job(0)
    stages: dict[str, list[float]] = defaultdict(list)
    for repeat in tqdm(range(repeats), desc=name, leave=False):
        started = perf_counter()
        laps = job(repeat)
        stages["inference"].append((perf_counter() - started) * 1e3)
        for stage, seconds in laps.items():
            stages[stage].append(seconds * 1e3)
    return stages


def peak_memory_mb() -> float:
    """Return the largest memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/uva_tiny.safetensors"), help="checkpoint to time")
    parser.add_argument("--preset", help="time this preset with random weights instead of a checkpoint")
    parser.add_argument("--action-steps", type=int, nargs="+", default=[16, 100], help="denoising steps of a chunk")
    parser.add_argument("--video-steps", type=int, default=16, help="denoising steps of the frames")
    parser.add_argument("--sampler", help="sampler, instead of the configured one")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1, help="threads that torch may use (default 1)")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder of benchmark.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    started_mb = peak_memory_mb()
    try:
        if args.preset:
            policy = UvaPolicy(from_dict(UvaConfig, presets.load(args.preset)["config"]))
        else:
            policy = UvaPolicy.load(args.model)
        sampling = replace(policy.config.sampling, video_steps=args.video_steps)
        sampling = replace(sampling, sampler=args.sampler or sampling.sampler)
        variants = [replace(sampling, action_steps=steps) for steps in args.action_steps]
    except (CheckpointError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")

    weights_mb = sum(t.numel() * t.element_size() for t in policy.state_dict().values()) / 2**20
    memory = {"before the model": started_mb, "weights": weights_mb}
    times: dict[str, dict[str, list[float]]] = {}
    for index, variant in enumerate(variants):
        for mode, job in jobs(policy, variant).items():
            if index and mode is not MaskMode.POLICY:
                continue
            name = f"{mode.value}, {variant.action_steps} steps" if mode is MaskMode.POLICY else mode.value
            times[name] = time_job(job, name, args.repeats)
            memory[f"peak up to {name}"] = peak_memory_mb()
    summary = {
        row: {stage: {"p50": float(np.median(ms)), "p95": float(np.quantile(ms, 0.95))} for stage, ms in stages.items()}
        for row, stages in times.items()
    }
    print(f"{'':22} {'stage':12} {'p50':>10} {'p95':>10}")
    for row, stages in summary.items():
        for stage, ms in stages.items():
            print(f"{row:22} {stage:12} {ms['p50']:7.1f} ms {ms['p95']:7.1f} ms")
    for what, size in memory.items():
        print(f"memory, {what}: {size:.0f} MB")
    args.out.mkdir(parents=True, exist_ok=True)
    machine = f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"
    result = {
        "milliseconds": summary,
        "memory_mb": memory,
        "threads": args.threads,
        "repeats": args.repeats,
        "machine": machine,
    }
    (args.out / "benchmark.json").write_text(json.dumps(result, indent=2) + "\n")
    print(f"wrote {args.out / 'benchmark.json'}")


if __name__ == "__main__":
    main()
