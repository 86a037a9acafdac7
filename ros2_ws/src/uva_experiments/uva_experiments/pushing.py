# SPDX-License-Identifier: Apache-2.0
"""Measure a policy in simulation, without ROS: success over test seeds, beside an expert and a random baseline.

    python -m uva_experiments.pushing --seeds 20000:100
    python -m uva_experiments.pushing --model runs/uva_tiny/policy.safetensors --seeds 10000:50 --execute 2

All environments run in lock-step, so that the network predicts for all of them at once. A chunk takes effect one step
(0.1 s) after the observation it was made from, as in the running stack.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from tqdm import tqdm

from arx_x5_sim.collection.options import count, natural, parse_seeds
from arx_x5_sim.tasks.cartesian_env import RATE_HZ, Action, CartesianEnv, Observation, rollout
from arx_x5_sim.tasks.push.block_readout import BlockReadout
from arx_x5_sim.tasks.push.expert import Expert
from arx_x5_sim.tasks.push.scene import build_push_model
from arx_x5_sim.tasks.push.task import block_poses, pair_distances_m, place, solved
from arx_x5_sim.tasks.push.wandering import RandomPolicy
from arx_x5_sim.world.camera import Camera, RenderingUnavailableError
from arx_x5_sim.world.world import World
from uva_core import images
from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.diffusion.config import SamplingConfig
from uva_core.policy.policy import UvaPolicy
from uva_experiments.report import write_results
from uva_experiments.uva_actor import EXECUTE_STEPS, UvaActor

MAX_STEPS = 150
TOKENIZER_FRAMES = 1500

Act = Callable[[list[Observation]], list[Action]]


def success(steps: NDArray[np.int64]) -> dict[str, Any]:
    """Summarize roll-outs: share solved with its 95 % Wilson interval, and the mean time of the solved."""
    successes = int((steps >= 0).sum())
    interval = binomtest(successes, len(steps)).proportion_ci(method="wilson")
    return {
        "episodes": len(steps),
        "solved": successes,
        "success": successes / len(steps),
        "interval_95": [round(interval.low, 4), round(interval.high, 4)],
        "mean_seconds": round(float(steps[steps >= 0].mean()) / RATE_HZ, 2) if successes else None,
    }


def failures(seeds: range, steps: NDArray[np.int64], envs: list[CartesianEnv]) -> dict[str, float]:
    """Return how far [cm] the nearest block was from a square in the end, for each seed that was not solved."""
    return {
        str(seed): round(100 * float(pair_distances_m(env.world).min()), 1)
        for seed, step, env in zip(seeds, steps, envs, strict=True)
        if step < 0
    }


def run(name: str, seeds: range, act: Act, envs: list[CartesianEnv], camera: Camera | None) -> NDArray[np.int64]:
    """Roll out one policy over all seeds with a progress bar."""
    for env, seed in zip(envs, seeds, strict=True):
        env.reset(seed)
    with tqdm(total=MAX_STEPS, desc=name, unit="step") as bar:

        def counted(observations: list[Observation]) -> list[Action]:
            bar.update()
            return act(observations)

        return rollout(envs, counted, MAX_STEPS, solved, camera)


def tokenizer_error(policy: UvaPolicy, camera: Camera, envs: list[CartesianEnv], seeds: range) -> dict[str, float]:
    """Measure the error of the blocks' positions read from reconstructed frames of expert pushes, against the truth."""
    size, resize = policy.config.tokenizer.image_size, policy.config.observation.resize

    def resized(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return images.to_uint8(images.prepare(x, size, resize))

    readout = BlockReadout.calibrate(envs[0].world.model, camera, resized)
    frames, truth = [], []
    bar = tqdm(total=TOKENIZER_FRAMES, desc="tokenizer", unit="frame")
    for env, seed in zip(envs, seeds, strict=True):
        env.reset(seed)
        expert = Expert()
        for _ in range(60):
            frames.append(camera.render(env.world))
            truth.append(block_poses(env.world)[:, :2])
            bar.update()
            action = expert.act(env.world)
            env.step(action.position, action.quaternion, action.gripper_width)
        if len(frames) >= TOKENIZER_FRAMES:
            break
    bar.close()
    seen, where = np.stack(frames), np.stack(truth)
    rebuilt = np.concatenate([policy.reconstruct(batch) for batch in np.array_split(seen, max(1, len(seen) // 100))])
    result: dict[str, float] = {"frames": len(seen)}
    for name, pictures in (("true_frames", resized(seen)), ("reconstructed", rebuilt)):
        position, lost = readout(pictures)
        error = np.linalg.norm(position - where, axis=-1)[~lost]
        result[f"{name}_error_cm"] = round(float(error.mean()) * 100, 3)
        result[f"{name}_error_p95_cm"] = round(float(np.quantile(error, 0.95)) * 100, 3)
        result[f"{name}_lost"] = round(float(lost.mean()), 4)
    return result


def measure(
    policy: UvaPolicy,
    seeds: range,
    *,
    execute: int = EXECUTE_STEPS,
    latency_steps: int = 1,
    sampling: SamplingConfig | None = None,
    baselines: bool = True,
) -> dict[str, Any]:
    """Roll out a policy, and measure what it is compared with.

    Args:
        policy: the model.
        seeds: of the scenes.
        execute: steps between two plans.
        latency_steps: steps until a chunk takes effect.
        sampling: None: the checkpoint's.
        baselines: whether to run expert and random motion and to measure the tokenizer, too.

    Raises:
        FileNotFoundError: the SDK, whose URDF the world is built from, is not installed.
        RenderingUnavailableError: no images can be made on this machine.
    """
    model = build_push_model()
    camera = Camera(model)
    envs = [CartesianEnv(World(model), place) for _ in seeds]
    actor = UvaActor(policy, seeds, execute=execute, latency_steps=latency_steps, sampling=sampling)
    steps = run("policy", seeds, actor, envs, camera)
    results: dict[str, Any] = {"policy": {**success(steps), "failures": failures(seeds, steps, envs)}}
    if baselines:
        experts = [Expert() for _ in envs]

        def expert(_: list[Observation]) -> list[Action]:
            return [e.act(env.world) for e, env in zip(experts, envs, strict=True)]

        results["expert"] = success(run("expert", seeds, expert, envs, None))
        results["random"] = success(run("random", seeds, RandomPolicy(seeds), envs, None))
        results["tokenizer"] = tokenizer_error(policy, camera, envs, seeds)
    camera.close()
    return results


def table(results: dict[str, Any]) -> str:
    """Return the results for people to read."""
    lines = [f"{'':10} {'solved':>9} {'success':>8}   95 % interval   mean time"]
    for name in ("policy", "expert", "random"):
        if name in results:
            r = results[name]
            low, high = r["interval_95"]
            solved = f"{r['solved']:4d}/{r['episodes']:<4d}"
            took = "-" if r["mean_seconds"] is None else f"{r['mean_seconds']:.1f} s"
            lines.append(f"{name:10} {solved} {r['success']:8.2f}   {low:.2f} to {high:.2f}    {took:>6}")
    if results["policy"].get("failures"):
        told = ", ".join(f"{seed} ({cm:.1f})" for seed, cm in results["policy"]["failures"].items())
        lines.append(f"not solved (cm from the nearest block to a square): {told}")
    if "tokenizer" in results:
        t = results["tokenizer"]
        for kind in ("reconstructed", "true_frames"):
            error, lost = t[f"{kind}_error_cm"], t[f"{kind}_lost"]
            frames = f"{t['frames']} {kind.removesuffix('_frames')} frames"
            lines.append(f"blocks read from {frames}: {error:.2f} cm off, {lost:.1%} lost")
    return "\n".join(lines)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/uva_tiny.safetensors"), help="checkpoint")
    parser.add_argument(
        "--seeds", type=parse_seeds, default="20000:100", help="first:count (default %(default)s, test)"
    )
    parser.add_argument(
        "--execute",
        type=natural,
        default=EXECUTE_STEPS,
        help="steps between two plans (default %(default)s, as the node at 5 Hz)",
    )
    parser.add_argument(
        "--latency-steps", type=count, default=1, help="steps until a chunk takes effect (default %(default)s)"
    )
    parser.add_argument("--sampler", help="instead of the checkpoint's")
    parser.add_argument("--action-steps", type=int, help="denoising steps instead of the checkpoint's")
    parser.add_argument("--temperature", type=float, help="instead of the checkpoint's")
    parser.add_argument("--policy-only", action="store_true", help="leave the baselines and the tokenizer out")
    parser.add_argument("--out", type=Path, default=Path("out/eval"), help="folder of policy.json")
    args = parser.parse_args()
    started = time.monotonic()
    try:
        policy = UvaPolicy.load(args.model)
        changes = {"sampler": args.sampler, "action_steps": args.action_steps, "action_temperature": args.temperature}
        sampling = replace(policy.config.sampling, **{k: v for k, v in changes.items() if v is not None})
        results = measure(
            policy,
            args.seeds,
            execute=args.execute,
            latency_steps=args.latency_steps,
            sampling=sampling,
            baselines=not args.policy_only,
        )
    except (CheckpointError, FileNotFoundError, RenderingUnavailableError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    setup = {
        "model": str(args.model),
        "seeds": [args.seeds.start, args.seeds.stop],
        "max_steps": MAX_STEPS,
        "execute": args.execute,
        "latency_steps": args.latency_steps,
        "sampling": asdict(sampling),
        "wall_seconds": round(time.monotonic() - started, 1),
    }
    path = args.out / "policy.json"
    write_results(path, results, setup)
    print(f"\n{table(results)}\nwrote {path}")


if __name__ == "__main__":
    main()
