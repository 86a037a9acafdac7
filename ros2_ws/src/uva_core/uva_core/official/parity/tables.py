# SPDX-License-Identifier: Apache-2.0
"""Cases of tables: everything around the network, each value from the function that the product uses."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from uva_core import images, poses
from uva_core.diffusion.schedule import make_schedule
from uva_core.network import masking
from uva_core.network.blocks import timestep_features
from uva_core.normalizer import CONSTANT_POSITION_RANGE, LinearNormalizer
from uva_core.official import frames, umi
from uva_core.official.names import UMI_STATE
from uva_core.official.parity.case import Case
from uva_core.official.spacing import constants_of, spaced_schedule

Results = Iterator[tuple[str, Tensor]]
TRAIN_TIMESTEPS = 1000
SPACINGS = {"10": "10", "16": "16", "100": "100", "full": "1000", "ddim10": "ddim10", "sections_5_3": "5,3"}
STATISTICS = {"minimum": "min", "maximum": "max", "mean": "mean", "std": "std"}
FRAMES = 4  # of history, and of the future
HISTORY_STEPS = 16
RESIZED = 256
PROBE_ROWS, PROBE_COLUMNS = slice(3, None, 29), slice(5, None, 31)  # of the recorded resized image


def results(case: Case) -> Results:
    """Compute everything that such a case records."""
    yield from _normalizers(case)
    yield from _poses(case)
    yield from _umi_observation(case)
    yield from _umi_action(case)
    yield from _frames(case)
    yield from _umi_batch(case)
    yield from _images_and_smoothing(case)
    yield from _diffusion(case)
    yield from _generation(case)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.double().numpy()


def _normalizers(case: Case) -> Results:
    fields = {name: LinearNormalizer.fit_limits(case[f"normalizer/fit/{name}"]) for name in ("action", "agent_pos")}
    fields["image"] = LinearNormalizer.of_range(torch.zeros(1), torch.ones(1))
    for name, field in fields.items():
        state = f"normalizer/state/params_dict.{name}"
        yield from _scaling(f"{state}.", field)
        yield from _statistics(f"{state}.input_stats.", field)
        if name != "image":
            x = case[f"normalizer/x/{name}"]
            yield f"normalizer/normalized/{name}", field.normalize(x)
            yield f"normalizer/unnormalized/{name}", field.unnormalize(x / 300)
            yield f"normalizer/dict/{name}", field.normalize(x)
    gaussian = LinearNormalizer.fit_gaussian(case["normalizer/fit/action"])
    yield from _scaling("normalizer/gaussian/", gaussian)
    yield "normalizer/gaussian/normalized", gaussian.normalize(case["normalizer/x/action"])

    absolute = LinearNormalizer.fit_absolute_actions(case["abs_action_normalizer/fit"])
    yield from _scaling("abs_action_normalizer/", absolute)
    yield from _statistics("abs_action_normalizer/input_stats/", absolute)
    yield "abs_action_normalizer/normalized", absolute.normalize(case["abs_action_normalizer/x"])
    yield "abs_action_normalizer/unnormalized", absolute.unnormalize(case["abs_action_normalizer/x"])

    limits = LinearNormalizer.fit_limits(
        case["range_normalizer/fit"], minimum_range=0.0, constant_range=CONSTANT_POSITION_RANGE
    )
    yield from _scaling("range_normalizer/", limits)
    yield "range_normalizer/normalized", limits.normalize(case["range_normalizer/x"])


def _scaling(prefix: str, normalizer: LinearNormalizer) -> Results:
    yield f"{prefix}scale", normalizer.scale
    yield f"{prefix}offset", normalizer.offset


def _statistics(prefix: str, normalizer: LinearNormalizer) -> Results:
    for ours, theirs in STATISTICS.items():
        yield prefix + theirs, getattr(normalizer.statistics, ours)


def _poses(case: Case) -> Results:
    vectors, raw = _array(case["pose/pose"]), _array(case["pose/pose10d_raw"])
    matrices, base = poses.from_vector(vectors), poses.from_vector(_array(case["pose/base"]))
    increments = poses.from_vector(_array(case["pose/delta"]))
    tables = {
        "mat": matrices,
        "base_mat": base,
        "mat_to_pose": poses.to_vector(matrices),
        "pose10d": poses.encode_pose(matrices),
        "pose10d_to_mat": poses.decode_pose(raw),
        "rot6d_to_mat": poses.matrix_from_6d(raw[:, 3:]),
        "transform_pose": poses.to_vector(_array(case["pose/tx"]) @ matrices),
        "apply_delta_pose": poses.to_vector(poses.restore(increments, matrices[: len(increments)], "rel")),
        "rot_from_directions": poses.rotation_between(_array(case["pose/dirs_from"]), _array(case["pose/dirs_to"])),
    }
    for representation in poses.REPRESENTATIONS:
        tables[f"convert/{representation}/forward"] = poses.express(matrices, base, representation)
        tables[f"convert/{representation}/backward"] = poses.restore(matrices, base, representation)
    for name, values in tables.items():
        yield f"pose/{name}", torch.from_numpy(values)


def _robots(case: Case) -> list[umi.RobotHistory]:
    def read(name: str) -> np.ndarray:
        return _array(case[f"umi_obs/in/{name}"])

    return [
        umi.RobotHistory(
            poses.matrix_from_rotation_vector(read(f"robot{i}_eef_pos"), read(f"robot{i}_eef_rot_axis_angle")),
            read(f"robot{i}_gripper_width")[:, 0],
            poses.from_vector(read(f"robot{i}_episode_start_pose")),
        )
        for i in range(2)
    ]


def _umi_observation(case: Case) -> Results:
    robots = _robots(case)
    observed = {
        "abs": umi.observation(robots[:1], absolute=True),
        "relative": umi.observation(robots[:1]),
        "two_robots": umi.observation(robots, robot0_in_robot1=_array(case["umi_obs/in/tx_robot1_robot0"])),
    }
    for kind, parts in observed.items():
        for name, values in parts.items():
            yield f"umi_obs/{kind}/{name}", torch.from_numpy(values)
    height, width = case["umi_obs/relative/camera0_rgb"].shape[-2:]
    covered = images.cover(case["umi_obs/in/camera0_rgb"].numpy(), height, width)
    yield "umi_obs/relative/camera0_rgb", images.to_unit(torch.from_numpy(covered))


def _umi_action(case: Case) -> Results:
    bases = [robot.eef_pose[-1] for robot in _robots(case)]
    action = _array(case["umi_action/in/action"])
    for representation in poses.REPRESENTATIONS:
        command = umi.robot_command(action, bases[:1], representation)
        yield f"umi_action/{representation}", torch.from_numpy(command)
    both = umi.robot_command(_array(case["umi_action/in/action_two_robots"]), bases)
    yield "umi_action/two_robots_relative", torch.from_numpy(both)


def _frames(case: Case) -> Results:
    yield "frames/combinations", torch.tensor(frames.history_choices(HISTORY_STEPS, FRAMES))
    for steps in (16, 24):
        yield f"frames/eval_T{steps}", torch.tensor(frames.even_frames(steps, FRAMES))
    for steps in (32, 48):
        yield f"frames/train_T{steps}", torch.tensor(frames.even_frames(steps, 2 * FRAMES))
    seeds = case["frames/random_seeds"].tolist()
    mixed = [frames.mixed_frames(2 * HISTORY_STEPS, 2 * FRAMES, random.Random(seed)) for seed in seeds]
    yield "frames/train_T32_mixed_history", torch.tensor(mixed)
    settings = {
        "shift": (0, False),
        "shift_history": (0, True),
        "no_shift": (1, False),
        "no_shift_history": (1, True),
        "umi_no_shift_images8": (1, False),
    }
    for name, (first_action_step, past) in settings.items():
        history, future = frames.action_steps(2 * HISTORY_STEPS, first_action_step, past=past)
        yield f"trajectory/{name}/future", torch.tensor(future)
        if history is not None:
            yield f"trajectory/{name}/history", torch.tensor(history)


def _umi_batch(case: Case) -> Results:
    index = case["process_umi/img_indices"].long().squeeze(2)
    state = {name: case[f"process_umi/{name}"] for name in UMI_STATE}
    yield "process_umi/train/x", images.to_signed(case["process_umi/image"]).transpose(1, 2)
    for name, values in umi.state_at_frames(state, index, training=True).items():
        yield f"process_umi/train/{name}", values
    past = {name: values[:, :HISTORY_STEPS] for name, values in state.items()}
    for name, values in umi.state_at_frames(past, index[:, :FRAMES], training=False).items():
        yield f"process_umi/eval/{name}", values


def _images_and_smoothing(case: Case) -> Results:
    resized = images.scale(case["resize/image"], RESIZED, "bilinear")
    yield "resize/out_probe", resized[..., PROBE_ROWS, PROBE_COLUMNS]
    for suffix, window in (("", 3), ("_window5", 5)):
        chunks = [poses.smooth(chunk, window) for chunk in _array(case[f"smooth/in{suffix}"])]
        yield f"smooth/out{suffix}", torch.from_numpy(np.stack(chunks))


def _diffusion(case: Case) -> Results:
    for name, spacing in SPACINGS.items():
        if spacing.isdigit():
            schedule = make_schedule("ddpm", TRAIN_TIMESTEPS, int(spacing))
        else:
            schedule = spaced_schedule(TRAIN_TIMESTEPS, spacing)
        constants = constants_of(schedule, TRAIN_TIMESTEPS)
        tables = {
            "alphas_cumprod": constants.alpha_bar,
            "betas": constants.beta,
            "posterior_mean_coef1": constants.mean_clean,
            "posterior_mean_coef2": constants.mean_noisy,
            "posterior_log_variance_clipped": constants.log_posterior,
            "sqrt_recip_alphas_cumprod": np.sqrt(1 / constants.alpha_bar),
            "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / constants.alpha_bar - 1),
        }
        yield f"diffusion/{name}/timesteps", torch.tensor(schedule.timesteps[::-1])
        for kind, values in tables.items():
            yield f"diffusion/{name}/{kind}", torch.from_numpy(values)
    # The case records no noise, and float32 angles of up to 999 rad are rounded by up to 3e-5: processors differ there.
    timesteps = case["time_embedding/t"]
    embedding = timestep_features(timesteps)
    case.noise["time_embedding/out"] = (embedding - timestep_features(timesteps.double())).abs().max().item()
    yield "time_embedding/out", embedding


def _generation(case: Case) -> Results:
    order = case["generation/order"].long()[None]
    positions = order.shape[1]
    for iterations in (1, 2, 3, 4, 8, 16, 64):
        before = torch.tensor([positions, *masking.generation_counts(positions, iterations)[:-1]])
        yield f"generation/remaining_n{iterations}", before
        yield f"generation/masks_n{iterations}", masking.mask_from_order(order.expand(iterations, -1), before)
