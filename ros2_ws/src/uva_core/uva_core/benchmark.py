# SPDX-License-Identifier: Apache-2.0
"""Time one prediction (batch 1), stage by stage.

python -m uva_core.benchmark --model models/uva_tiny.safetensors
python -m uva_core.benchmark --preset uva_tiny --action-steps 16 100
"""

from __future__ import annotations

import argparse
import json
import platform
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from tqdm import tqdm

from uva_core import presets
from uva_core.checkpoint import CheckpointError
from uva_core.config import UvaConfig, from_dict
from uva_core.observation import Observation
from uva_core.policy import UvaPolicy


def time_policy(policy: UvaPolicy, observation: Observation, action_steps: int, repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each repeat by stage, and of the whole (`inference`)."""
    sampling = replace(policy.config.sampling, action_steps=action_steps)
    policy.predict_actions([observation], [0], sampling)
    stages: dict[str, list[float]] = defaultdict(list)
    for repeat in tqdm(range(repeats), desc=f"policy, {action_steps} steps", leave=False):
        started = perf_counter()
        (prediction,) = policy.predict_actions([observation], [repeat], sampling)
        stages["inference"].append((perf_counter() - started) * 1e3)
        for name, seconds in prediction.stage_s.items():
            stages[name].append(seconds * 1e3)
    return stages


def time_video(policy: UvaPolicy, observation: Observation, video_steps: int, repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each repeat of a video prediction, decoding included."""
    sampling = replace(policy.config.sampling, video_steps=video_steps)
    policy.predict_video([observation], [0], sampling)
    times = []
    for repeat in tqdm(range(repeats), desc=f"video, {video_steps} steps", leave=False):
        started = perf_counter()
        policy.predict_video([observation], [repeat], sampling)
        times.append((perf_counter() - started) * 1e3)
    return {"inference": times}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/uva_tiny.safetensors"), help="checkpoint to time")
    parser.add_argument("--preset", help="time this preset with random weights instead of a checkpoint")
    parser.add_argument("--action-steps", type=int, nargs="+", default=[16, 100], help="denoising steps of a chunk")
    parser.add_argument("--video-steps", type=int, nargs="+", default=[16], help="denoising steps of the frames")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1, help="threads that torch may use (default 1)")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder of benchmark.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    try:
        if args.preset:
            policy = UvaPolicy(from_dict(UvaConfig, presets.load(args.preset)["config"]))
        else:
            policy = UvaPolicy.load(args.model)
    except (CheckpointError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")

    observation = policy.blank_observation()
    rows = {f"policy, {n} steps": time_policy(policy, observation, n, args.repeats) for n in args.action_steps}
    rows |= {f"video, {n} steps": time_video(policy, observation, n, args.repeats) for n in args.video_steps}
    summary = {
        row: {stage: {"p50": float(np.median(ms)), "p95": float(np.quantile(ms, 0.95))} for stage, ms in stages.items()}
        for row, stages in rows.items()
    }
    print(f"{'':22} {'stage':12} {'p50':>8} {'p95':>8}")
    for row, stages in summary.items():
        for stage, ms in stages.items():
            print(f"{row:22} {stage:12} {ms['p50']:5.1f} ms {ms['p95']:5.1f} ms")
    args.out.mkdir(parents=True, exist_ok=True)
    machine = f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"
    result = {"milliseconds": summary, "threads": args.threads, "repeats": args.repeats, "machine": machine}
    (args.out / "benchmark.json").write_text(json.dumps(result, indent=2) + "\n")
    print(f"wrote {args.out / 'benchmark.json'}")


if __name__ == "__main__":
    main()
