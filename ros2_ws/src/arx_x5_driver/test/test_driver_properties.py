# SPDX-License-Identifier: Apache-2.0
"""Whatever comes in, no command breaks a limit, and everything that was rejected is counted exactly once.

Hypothesis chooses the kinds of events and a seed for each; numpy makes the many numbers of an event from its seed,
which is fast enough for thousands of cases. The profile `ci` has thirty times as many as the default one. The
parameters are drawn, too: the actions of the rules, all limits, the control rate and the bandwidth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arx_x5_driver.chunk import Chunk
from arx_x5_driver.control.state import RequestRefusedError, State
from arx_x5_driver.parameters import DriverParameters
from arx_x5_driver.rules.divergence_guard import MODES
from arx_x5_driver.rules.rules import RULES

LOW_START = np.array([0.0, 0.92, 0.80, -0.96, 0.0, 0.0])  # of the X5: 5.5 cm above the table, looking down
CORNERS = np.array([[x, y, z] for x in (0.05, 0.75) for y in (-0.55, 0.55) for z in (0.0, 0.75)])
JITTER = np.array([0.02, 0.8, 1.0, 1.2, 4.0, 20.0])  # periods
ODD_NUMBERS = np.array([np.nan, np.inf, -np.inf, 0.0, 1.0, -1e300, 1e300, 5e-324])

Random = np.random.Generator


def walk(witness: Any, random: Random, steps: np.ndarray, spin_rad: float = 0.0, step_s: float = 0.1) -> Chunk:
    """A chunk from where the end effector is, by steps `(T, 3)` [m], turning at random."""
    pose = witness.rig.pose
    turns = np.cumsum(random.normal(0.0, 0.5 * spin_rad, (len(steps), 4)), axis=0)
    return Chunk(
        sequence=witness.rig.snapshot().chunk_sequence + 1,
        frame="base_link",
        stamp_s=-random.uniform(0.0, 0.2),
        times_s=step_s * np.arange(1, len(steps) + 1),
        positions=pose.position + np.cumsum(steps, axis=0),
        quaternions=unit(pose.quaternion + turns),
        widths=random.uniform(-0.02, 0.12, len(steps)),
    )


def unit(quaternions: np.ndarray) -> np.ndarray:
    return quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)


def wandering(witness: Any, random: Random) -> Chunk:
    size_m = random.choice([0.005, 0.02, 0.09])
    steps = (
        random.uniform(-1.0, 1.0, 3) * size_m / 2 + random.uniform(-0.25, 0.25, (random.integers(2, 17), 3)) * size_m
    )
    return walk(witness, random, steps, random.choice([0.0, 0.05, 0.2]), random.choice([0.02, 0.1, 0.3]))


def towards(goal: Callable[[Any, Random], np.ndarray]) -> Callable[[Any, Random], Chunk]:
    def chunk(witness: Any, random: Random) -> Chunk:
        way = goal(witness, random)
        step = way / max(np.linalg.norm(way), 1e-6) * random.uniform(0.01, 0.095)
        return walk(
            witness, random, np.tile(step, (12, 1)), random.choice([0.0, 0.1]), random.choice([0.01, 0.05, 0.1])
        )

    return chunk


def spoiled(witness: Any, random: Random) -> Chunk:
    """One or several odd numbers, or a length that does not fit."""
    chunk = wandering(witness, random)
    field = random.choice(["positions", "quaternions", "widths", "times_s"])
    array = getattr(chunk, field).copy()
    array[random.integers(len(array))] = random.choice(ODD_NUMBERS)
    return replace(chunk, **{field: array[: len(array) - random.integers(2)]})


def mistimed(witness: Any, random: Random) -> Chunk:
    """Stamps that are old, lie ahead, stand still or go back, and sequences that do."""
    chunk = wandering(witness, random)
    order = random.choice([1, -1]) if random.random() < 0.3 else 1
    return replace(
        chunk,
        stamp_s=random.uniform(-1.5, 0.2),
        times_s=chunk.times_s[::order] * random.choice([0.0, 1.0, 1.0, 20.0]) + random.uniform(-2.0, 1.0),
        sequence=int(random.choice([0, 3, chunk.sequence, 2**63])),
        frame=random.choice(["base_link", "base_link", "map"]),
    )


CHUNKS: dict[str, Callable[[Any, Random], Chunk]] = {
    "wander": wandering,
    "corner": towards(lambda witness, random: random.choice(CORNERS) - witness.rig.pose.position),
    "table dive": towards(lambda _, random: np.array([*random.normal(0.0, 0.3, 2), -1.0])),
    "stretch": towards(lambda witness, _: witness.rig.pose.position * [1.0, 1.0, 0.3]),
    "fold": towards(lambda witness, random: random.normal(0.0, 0.05, 3) - witness.rig.pose.position * [1.0, 1.0, 0.5]),
    "spoil": spoiled,
    "mistime": mistimed,
}


def flood(witness: Any, random: Random) -> None:
    for _ in range(10):
        witness.offer(wandering(witness, random))
        witness.rig.now_s += 0.001


def back(witness: Any, random: Random) -> None:
    """A clock that goes back moves nothing."""
    assert witness.rig.controller.tick(witness.rig.now_s - random.uniform(0.0, 5.0), witness.measured()) is None


def freeze(witness: Any, random: Random) -> None:
    witness.rig.frozen = witness.measured() if random.random() < 0.5 else None


def request(witness: Any, random: Random) -> None:
    controller = witness.rig.controller
    name = random.choice(["enable", "enable", "stop", "home", "fault"])
    try:
        if name == "enable":
            witness.enable()
        elif name == "home":
            controller.home()
        else:
            getattr(controller, name)("because")
    except RequestRefusedError:
        assert name == "enable" or controller.state is not State.HOLDING


def diverge(witness: Any, random: Random) -> None:
    witness.rig.controller.report_divergence(random.choice([0.0, 0.33, 1.0, np.nan]), witness.rig.now_s)


EVENTS = {"flood": flood, "back": back, "freeze": freeze, "request": request, "diverge": diverge}


def log_uniform(random: Random, low: float, high: float) -> float:
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def limits(random: Random) -> dict[str, Any]:
    """Draw limits, rate and bandwidth from their ranges until they fit together."""
    while True:
        rate_hz = log_uniform(random, 34.0, 500.0)
        corner = random.uniform([0.0, -0.6, -0.1], [0.2, -0.1, 0.1])
        drawn = {
            "rate_hz": rate_hz,
            "tracking_bandwidth_rad_s": log_uniform(random, 2.0, min(100.0, 0.3 * rate_hz)),
            "velocity_fraction": log_uniform(random, 0.05, 1.0),
            "joint_acceleration_rad_s2": log_uniform(random, 1.0, 100.0),
            "joint_jerk_rad_s3": log_uniform(random, 100.0, 10000.0),
            "gripper_acceleration_m_s2": log_uniform(random, 0.3, 20.0),
            "gripper_jerk_m_s3": log_uniform(random, 10.0, 1000.0),
            "joint_margin_rad": random.uniform(0.0, 0.2),
            "cartesian_speed_m_s": log_uniform(random, 0.01, 2.0),
            "cartesian_speed_rad_s": log_uniform(random, 0.01, 6.0),
            "cartesian_acceleration_m_s2": log_uniform(random, 5.0, 1000.0),
            "cartesian_jerk_m_s3": log_uniform(random, 200.0, 100000.0),
            "workspace_min_m": corner.tolist(),
            "workspace_max_m": (corner + random.uniform([0.3, 0.3, 0.3], [0.8, 1.2, 0.8])).tolist(),
            "table_height_m": random.uniform(-0.1, 0.1),
            "table_clearance_m": random.uniform(0.0, 0.1),
            "gripper_keypoints_m": random.uniform(-0.1, 0.1, 3 * random.integers(1, 6)).tolist(),
            "self_distance_m": random.uniform(0.0, 0.03),
            "singularity_slow": log_uniform(random, 2.0, 100.0),
            "singularity_slowest": 200.0,
            "ik_jump_rad": log_uniform(random, 0.01, 1.0),
            "max_start_m": log_uniform(random, 0.01, 2.0),
        }
        try:
            DriverParameters(**drawn, home_position_rad=[0.0, 0.3, 0.3, 0.0, 0.0, 0.0]).controller_config()
        except ValueError:
            continue
        return {**drawn, "home_position_rad": [0.0, 0.3, 0.3, 0.0, 0.0, 0.0]}


def parameters(seed: int) -> dict[str, Any]:
    """Draw actions of the rules, limits, and how chunks are executed; 0: the defaults."""
    random = np.random.default_rng(seed)
    if not seed:
        return {}
    changed = [rule for rule in RULES if len(rule.actions) > 1 and random.random() < 0.3]
    return {
        "blend_s": float(random.choice([0.0, 0.15, 0.6])),
        "action_latency_s": float(random.choice([-1.0, 0.0, 0.1])),
        **(limits(random) if random.random() < 0.8 else {}),
        "guard": str(random.choice(MODES)),
        **{f"rule_{rule.name}": str(random.choice(rule.actions)) for rule in changed},
    }


seeds = st.integers(0, 2**16)
chunks = st.tuples(st.sampled_from(sorted(CHUNKS)), seeds)
events = st.tuples(st.sampled_from(sorted(EVENTS)), seeds)


def live(witness: Any, events: list[tuple[str, int]], longest_s: float, steady: bool) -> None:
    """Let events happen: each, then some time."""
    for what, seed in events:
        random = np.random.default_rng(seed)
        if what in CHUNKS:
            witness.offer(CHUNKS[what](witness, random))
        else:
            EVENTS[what](witness, random)
        periods = (lambda: 1.0) if steady else (lambda random=random: float(random.choice(JITTER)))
        witness.run(random.uniform(0.0, longest_s), periods)
    witness.audit()


STORIES, REAL_STORIES = 5, 2  # times the profile's number of examples


@settings(max_examples=STORIES * settings().max_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(chunks | chunks | events, max_size=5), st.booleans(), seeds | st.just(0))
def test_no_command_breaks_a_limit(make_witness: Any, events: list[tuple[str, int]], steady: bool, drawn: int) -> None:
    live(make_witness(**parameters(drawn)), events, 0.15, steady)


@settings(
    max_examples=REAL_STORIES * settings().max_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.lists(chunks | chunks | events, min_size=1, max_size=4), st.booleans(), seeds | st.just(0))
def test_no_command_breaks_a_limit_with_the_real_kinematics(
    make_witness: Any, sdk_kinematics: Any, events: list[tuple[str, int]], steady: bool, drawn: int
) -> None:
    live(make_witness(sdk_kinematics, LOW_START, **parameters(drawn)), events, 0.2, steady)


def test_there_are_twenty_thousand_stories_in_ci() -> None:
    assert (STORIES + REAL_STORIES) * settings.get_profile("ci").max_examples >= 20_000
