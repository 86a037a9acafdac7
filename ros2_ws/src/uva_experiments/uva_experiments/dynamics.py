# SPDX-License-Identifier: Apache-2.0
"""Measure a model's forward and inverse dynamics against the simulator's truth, without ROS.

    python -m uva_experiments.dynamics --seeds 10000:30

Each seed gives one demonstration and one play episode, cut into windows. Forward dynamics predicts the last frame from
the actions that were executed; where its blocks are, read by colour, is compared with where the simulator had them.
Beside it stand predictions from another window's actions and from none (`video`), and the newest frame as it is.
Inverse dynamics is given the frames that followed, and its EEF positions are compared with the commanded ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from arx_x5_driver.array import Array
from arx_x5_sim.collection.collect import env_and_camera
from arx_x5_sim.collection.episodes import Episode, Kind, record
from arx_x5_sim.collection.options import parse_seeds
from arx_x5_sim.tasks.cartesian_env import RATE_HZ
from arx_x5_sim.tasks.push.block_readout import BlockReadout
from arx_x5_sim.world.camera import RenderingUnavailableError
from uva_core import images, poses
from uva_core.actions import ActionSequence
from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.observation.observation import Observation
from uva_core.observation.replay import Moment, Stream, replay
from uva_core.policy.policy import UvaPolicy
from uva_experiments.report import write_results

STRIDE_STEPS = 8  # between two windows of an episode
MOVED_M = 0.02  # blocks that move less tell little about a prediction
IMAGE_SIZE_PX = 128


@dataclass(frozen=True)
class Window:
    """One moment of an episode and what followed.

    Attributes:
        observation: what the model sees.
        actions: what was commanded next.
        future: (h, H, W, 3) the frames that followed, at the model's frame times.
        blocks_before, blocks_after: (2, 2) x and y of the blocks now, and at the last of these frames.
    """

    observation: Observation
    actions: ActionSequence
    future: NDArray[np.uint8]
    blocks_before: Array
    blocks_after: Array


def cut(episode: Episode, policy: UvaPolicy) -> Iterator[Window]:
    """Replay an episode through the model's own observation buffer and yield its windows."""
    a = episode.arrays
    stamps_s = np.arange(len(a["action"])) / RATE_HZ
    pose = poses.matrix_from_rotation_vector(a["robot0_eef_pos"], a["robot0_eef_rot_axis_angle"])
    target = poses.matrix_from_rotation_vector(a["action"][:, :3], a["action"][:, 3:6])
    blocks = Stream(stamps_s, list(a["block_pose"][:, :, :2]))
    moments = replay(
        policy.make_buffer(pad_start=True),
        Stream(stamps_s, list(a["camera0_rgb"])),
        Stream(stamps_s, list(zip(pose, a["robot0_gripper_width"][:, 0].astype(float), strict=True))),
        stamps_s[::STRIDE_STEPS],
        frame_times_s=policy.frame_times_s,
        action_times_s=policy.action_times_s,
        tolerance_s=0.5 / RATE_HZ,
        # Row t holds what is to be reached at t + 1.
        targets=Stream(stamps_s + 1 / RATE_HZ, list(zip(target, a["action"][:, 6].astype(float), strict=True))),
    )
    for moment in moments:
        if not _complete(moment, policy):
            return
        seen_s = np.array([moment.observation.stamp_s, moment.frames.stamps_s[-1]])
        before, after = blocks.nearest(seen_s, tolerance_s=0.5 / RATE_HZ).values
        yield Window(moment.observation, moment.action_sequence, np.stack(moment.frames.values), before, after)


def _complete(moment: Moment, policy: UvaPolicy) -> bool:
    wanted = len(policy.frame_times_s), len(policy.action_times_s)
    return (len(moment.frames.values), len(moment.actions.values)) == wanted


def moved_to(actions: ActionSequence, source: Observation, goal: Observation) -> ActionSequence:
    """Return actions as they would be from another EEF pose."""
    relative = poses.relative_to(source.base_pose, actions.poses)
    return ActionSequence.from_poses(goal.base_pose @ relative, actions.gripper_width)


def forward_errors(policy: UvaPolicy, windows: list[Window], readout: BlockReadout) -> dict[str, dict[str, float]]:
    """Return the errors in the last frame's blocks, of those that moved, by what the prediction was made from."""
    last: dict[str, list[NDArray[np.uint8]]] = {"own actions": [], "another window's actions": [], "no actions": []}
    for i, window in enumerate(tqdm(windows, desc="forward", unit="window")):
        o, other = window.observation, windows[i - len(windows) // 2]
        actions = [window.actions, moved_to(other.actions, other.observation, o)]
        predictions = [*policy.predict_forward(o, actions, [i, i]), *policy.predict_video([o], [i])]
        for frames, prediction in zip(last.values(), predictions, strict=True):
            frames.append(prediction.frames[-1])
    last["newest frame"] = [images.to_uint8(window.observation.frames[-1]) for window in windows]
    after = np.stack([window.blocks_after for window in windows])
    moved = np.linalg.norm(after - np.stack([window.blocks_before for window in windows]), axis=-1) > MOVED_M
    result = {}
    for name, frames in last.items():
        position, lost = readout(np.stack(frames))
        error = np.linalg.norm(position - after, axis=-1)[moved & ~lost]
        result[name] = {
            "blocks": int(moved.sum()),
            "error_cm": round(100 * float(error.mean()), 2),
            "error_median_cm": round(100 * float(np.median(error)), 2),
            "lost": round(float(lost[moved].mean()), 3),
        }
    return result


def inverse_errors(policy: UvaPolicy, windows: list[Window]) -> dict[str, float]:
    """Return the mean distance of estimated from commanded EEF positions, beside that of a robot that stands still."""
    size, resize = policy.config.tokenizer.image_size, policy.config.observation.resize
    errors, still = [], []
    for i, window in enumerate(tqdm(windows, desc="inverse", unit="window")):
        future = images.prepare(window.future, size, resize)
        estimate = policy.predict_inverse([window.observation], [future], [i])[0].poses[:, :3, 3]
        truth = window.actions.poses[:, :3, 3]
        errors.append(np.linalg.norm(estimate - truth, axis=-1).mean())
        still.append(np.linalg.norm(window.observation.base_pose[:3, 3] - truth, axis=-1).mean())
    return {
        "windows": len(windows),
        "error_cm": round(100 * float(np.mean(errors)), 2),
        "standing_still_cm": round(100 * float(np.mean(still)), 2),
    }


def measure(policy: UvaPolicy, seeds: range) -> dict[str, Any]:
    """Record episodes of each kind and return the errors on them.

    Raises:
        FileNotFoundError: the SDK, whose URDF the world is built from, is not installed.
        RenderingUnavailableError: no images can be made on this machine.
    """
    env, camera = env_and_camera(IMAGE_SIZE_PX)
    size, resize = policy.config.tokenizer.image_size, policy.config.observation.resize
    readout = BlockReadout.calibrate(
        env.world.model, camera, lambda x: images.to_uint8(images.prepare(x, size, resize))
    )
    results: dict[str, Any] = {}
    for kind in (Kind.DEMONSTRATION, Kind.PLAY):
        episodes = (record(kind, seed, env, camera) for seed in tqdm(seeds, desc=f"recording {kind.value}"))
        windows = list(chain.from_iterable(cut(episode, policy) for episode in episodes))
        results[kind.value] = {
            "forward": forward_errors(policy, windows, readout),
            "inverse": inverse_errors(policy, windows),
        }
    return results


def table(results: dict[str, Any]) -> str:
    """Return the results for people to read."""
    lines = []
    for kind, result in results.items():
        lines.append(f"{kind}: {result['forward']['own actions']['blocks']} blocks that moved, in the last frame")
        for name, r in result["forward"].items():
            lines.append(
                f"  from {name:25} {r['error_cm']:5.2f} cm off (median {r['error_median_cm']:.2f}), "
                f"{r['lost']:.1%} lost"
            )
        r = result["inverse"]
        lines.append(
            f"{kind}: EEF path of {r['windows']} windows {r['error_cm']:.2f} cm off "
            f"(standing still {r['standing_still_cm']:.2f})"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/uva_tiny.safetensors"), help="checkpoint")
    parser.add_argument("--seeds", type=parse_seeds, default="10000:30", help="first:count (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out/eval"), help="folder of dynamics.json")
    args = parser.parse_args()
    try:
        results = measure(UvaPolicy.load(args.model), args.seeds)
    except (CheckpointError, FileNotFoundError, RenderingUnavailableError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    path = args.out / "dynamics.json"
    write_results(path, results, {"model": str(args.model), "seeds": [args.seeds.start, args.seeds.stop]})
    print(f"\n{table(results)}\nwrote {path}")


if __name__ == "__main__":
    main()
