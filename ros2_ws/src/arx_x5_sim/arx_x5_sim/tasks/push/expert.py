# SPDX-License-Identifier: Apache-2.0
"""A scripted expert that pushes a block onto a square, from the true state.

Its motion is a smooth function of what the camera sees and of the pair it has chosen, so that a network can
imitate it. The peg moves around the block at a clearance until it is behind it as seen from the square, and
then pushes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arx_x5_driver.array import Array
from arx_x5_sim.tasks.cartesian_env import WORKSPACE_MAX_M, WORKSPACE_MIN_M, Action, home_action
from arx_x5_sim.tasks.push.task import block_poses, square_positions
from arx_x5_sim.world.arm import EEF_HEIGHT_M
from arx_x5_sim.world.world import World

SPEED_M = 0.008  # per step of 0.1 s
CLEARANCE_M = 0.062  # from the peg's axis to a block's centre: half diagonal + peg radius + 14 mm
PUSH_ANGLE_RAD = (np.deg2rad(12.0), np.deg2rad(32.0))  # off the push line: pushes within, orbits beyond
LATERAL_GAIN = 0.5  # share of the lateral error that a pushing step takes away
SLOW_RADIUS_M = 0.02  # of the block's centre from the square's, within which pushing slows down
FINISH_RADIUS_M = 0.012
RESUME_RADIUS_M = 0.035
BLOCKED_COST_M = 0.15
UNREACHABLE_COST_M = 0.5
SWITCH_GAIN_M = 0.06  # another pair must be cheaper by this much to replace one whose push was lost


@dataclass(frozen=True)
class Pair:
    """Which block goes to which square."""

    block: int
    square: int


class Expert:
    """Push one block to one square. Equal sequences of states give equal actions."""

    def __init__(self, pair: Pair | None = None) -> None:
        """Push `pair`, or the pair that is cheapest at the first step."""
        self._fixed_pair = pair
        self.reset()

    def reset(self) -> None:
        """Forget the chosen pair, unless it was given."""
        self.pair = self._fixed_pair
        self.finished = False

    def act(self, world: World) -> Action:
        """Return the target for the next step; it stays where it is once the block is on the square."""
        eef = world.eef_pose()[0][:2]
        blocks, squares = block_poses(world)[:, :2], square_positions(world)
        self.pair = self._choose(eef, blocks, squares)
        block, square = blocks[self.pair.block], squares[self.pair.square]
        remaining = float(np.linalg.norm(square - block))
        angle = _angle_off_push_line(eef, block, square)
        lost_push = abs(angle) > PUSH_ANGLE_RAD[1]
        if self.finished:
            self.finished = remaining < RESUME_RADIUS_M
        else:
            self.finished = remaining < (RESUME_RADIUS_M if lost_push else FINISH_RADIUS_M)
        step = np.zeros(2) if self.finished else push_step(eef, block, square)
        return home_action(np.array([*(eef + step), EEF_HEIGHT_M]))

    def _choose(self, eef: Array, blocks: Array, squares: Array) -> Pair:
        """Keep the chosen pair, unless another is much cheaper and no block is being pushed."""
        if self._fixed_pair is not None:
            return self._fixed_pair
        costs = pair_costs(eef, blocks, squares)
        cheapest = min(costs, key=lambda pair: costs[pair])
        if self.pair is None:
            return cheapest
        block, square = blocks[self.pair.block], squares[self.pair.square]
        if self.finished or abs(_angle_off_push_line(eef, block, square)) < PUSH_ANGLE_RAD[1]:
            return self.pair
        return cheapest if costs[cheapest] < costs[self.pair] - SWITCH_GAIN_M else self.pair


def push_step(eef: Array, block: Array, square: Array) -> Array:
    """Return the expert's next displacement (2,) of the peg for one block and one square, each (2,)."""
    angle = _angle_off_push_line(eef, block, square)
    low, high = PUSH_ANGLE_RAD
    ramp = np.clip((high - abs(angle)) / (high - low), 0.0, 1.0)
    pushing = ramp * ramp * (3 - 2 * ramp)
    step = pushing * _push(eef, block, square) + (1 - pushing) * _orbit(eef, block, square)
    return np.asarray(step * min(1.0, SPEED_M / max(float(np.linalg.norm(step)), 1e-9)))


def pair_costs(eef: Array, blocks: Array, squares: Array) -> dict[Pair, float]:
    """Return the length [m] of each pair's path: to behind the block, then to the square, with penalties."""
    return {
        Pair(b, s): _cost(eef, blocks[b], squares[s], np.delete(blocks, b, axis=0))
        for b in range(len(blocks))
        for s in range(len(squares))
    }


def _cost(eef: Array, block: Array, square: Array, others: Array) -> float:
    push = float(np.linalg.norm(square - block))
    direction = (square - block) / max(push, 1e-9)
    behind = block - CLEARANCE_M * direction
    approach = float(np.linalg.norm(behind - eef))
    around = CLEARANCE_M * max(0.0, abs(_angle_off_push_line(eef, block, square)) - np.pi / 2)
    reachable = (behind > WORKSPACE_MIN_M[:2]).all() and (behind < WORKSPACE_MAX_M[:2]).all()
    blocked = sum(
        _segment_distance(other, start, end) < CLEARANCE_M
        for other in others
        for start, end in ((eef, behind), (block, square))
    )
    return approach + around + push + BLOCKED_COST_M * blocked + UNREACHABLE_COST_M * (not reachable)


def _push(eef: Array, block: Array, square: Array) -> Array:
    direction, normal = _push_frame(block, square)
    lateral = float((eef - block) @ normal)
    remaining = float(np.linalg.norm(square - block))
    speed = SPEED_M * float(np.clip(remaining / SLOW_RADIUS_M, 0.4, 1.0))
    return speed * direction - LATERAL_GAIN * lateral * normal


def _orbit(eef: Array, block: Array, square: Array) -> Array:
    """Step to the point behind the block on the shortest path that keeps the clearance."""
    direction, _ = _push_frame(block, square)
    behind = block - CLEARANCE_M * direction
    from_block = eef - block
    distance = float(np.linalg.norm(from_block))
    outward = from_block / max(distance, 1e-9)
    to_behind = behind - eef
    if distance > CLEARANCE_M and to_behind @ to_behind <= distance**2 - CLEARANCE_M**2:
        return SPEED_M * to_behind / max(float(np.linalg.norm(to_behind)), 1e-9)
    side = -np.sign(_angle_off_push_line(eef, block, square)) or 1.0
    tangent = side * np.array([-outward[1], outward[0]])
    inward = min(1.0, CLEARANCE_M / max(distance, 1e-9))  # sine of the angle at which the circle is touched
    along_tangent = np.sqrt(1.0 - inward**2) * -outward + inward * tangent
    too_close = max(0.0, CLEARANCE_M - distance)
    return SPEED_M * np.asarray(along_tangent) + 0.5 * too_close * outward


def _push_frame(block: Array, square: Array) -> tuple[Array, Array]:
    offset = square - block
    direction = offset / max(float(np.linalg.norm(offset)), 1e-9)
    return direction, np.array([-direction[1], direction[0]])


def _angle_off_push_line(eef: Array, block: Array, square: Array) -> float:
    """Return the signed angle of the peg around the block, 0 straight behind it as seen from the square."""
    direction, normal = _push_frame(block, square)
    offset = eef - block
    return float(np.arctan2(-(offset @ normal), -(offset @ direction)))


def _segment_distance(point: Array, start: Array, end: Array) -> float:
    along = end - start
    share = float(np.clip((point - start) @ along / max(float(along @ along), 1e-12), 0.0, 1.0))
    return float(np.linalg.norm(start + share * along - point))
