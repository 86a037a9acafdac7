# SPDX-License-Identifier: Apache-2.0
"""All safety rules: their names, their possible actions, and how often each was broken.

Rules on chunks are checked on receipt of a chunk, rules on motion in every control period; those of `POSE_RULES` are
checked on receipt, too, unless they clip. Watchdogs check that chunks and measurements come. The actions are

- `clip`: what breaks the rule is brought within it, or made harmless in another way that the rule's description says;
- `reject`: the chunk is not executed, or given up where it runs, and the arm brakes and holds;
- `stop`: as `reject`, and the driver stays stopped until it is enabled again;
- `fault`: as `stop`, and the arm itself is what failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CLIP = "clip"
REJECT = "reject"
STOP = "stop"
FAULT = "fault"

MESSAGE = "message"
SOURCE = "source"
NOT_ENABLED = "not_enabled"
EMPTY = "empty"
LENGTH = "length"
NOT_FINITE = "not_finite"
QUATERNION = "quaternion"
FRAME = "frame"
TIMES = "times"
STEP_JUMP_M = "step_jump_m"
STEP_JUMP_RAD = "step_jump_rad"
START_JUMP = "start_jump"
STALE = "stale"
FUTURE = "future"
SEQUENCE = "sequence"
FLOOD = "flood"
GUARD = "guard"

WORKSPACE = "workspace"
TABLE = "table"
SELF_COLLISION = "self_collision"
CARTESIAN_SPEED = "cartesian_speed"
CARTESIAN_ACCELERATION = "cartesian_acceleration"
CARTESIAN_JERK = "cartesian_jerk"
SINGULARITY = "singularity"
IK_FAILURE = "ik_failure"
IK_JUMP = "ik_jump"
GRIPPER_RANGE = "gripper_range"
JOINT_POSITION = "joint_position"
JOINT_VELOCITY = "joint_velocity"
JOINT_ACCELERATION = "joint_acceleration"
JOINT_JERK = "joint_jerk"

CHUNK_TIMEOUT = "chunk_timeout"
FEEDBACK_TIMEOUT = "feedback_timeout"
ARM_ERROR = "arm_error"


@dataclass(frozen=True)
class Rule:
    """A safety rule.

    Attributes:
        name: in parameters, status and diagnostics.
        actions: what may be done where it is broken, the default first.
        description: what it demands, and what `clip` means if that needs a word.
    """

    name: str
    actions: tuple[str, ...]
    description: str

    @property
    def default(self) -> str:
        """The action that is taken if nothing else is said."""
        return self.actions[0]


_REFUSED = (REJECT, STOP)
_EITHER = (REJECT, CLIP, STOP)
_LIMITED = (CLIP, REJECT, STOP)

CHUNK_RULES = (
    Rule(SOURCE, _REFUSED, "Chunks come from one publisher, until it has been silent for chunk_timeout_s."),
    Rule(MESSAGE, _REFUSED, "A chunk's message can be read and has at most 256 steps and 32 KiB."),
    Rule(NOT_ENABLED, (REJECT,), "The driver must be enabled and not on its way home."),
    Rule(
        GUARD,
        (REJECT,),
        "The world went as predicted, or guard_hold_s has passed since it did not; "
        "counts periods in which it slows the arm, too.",
    ),
    Rule(EMPTY, _REFUSED, "A chunk has steps."),
    Rule(LENGTH, _REFUSED, "Times, poses and gripper widths are equally many."),
    Rule(NOT_FINITE, _REFUSED, "No number is NaN or infinite."),
    Rule(QUATERNION, _EITHER, "Rotations have length 1 to 1 %; clip: they are scaled to it, unless shorter than 0.5."),
    Rule(FRAME, _REFUSED, "Poses are in the driver's frame."),
    Rule(TIMES, _REFUSED, "Times of the steps increase."),
    Rule(STEP_JUMP_M, _EITHER, "Steps are no farther apart than max_step_m; clip: other limits slow them."),
    Rule(STEP_JUMP_RAD, _EITHER, "Steps turn no more than max_step_rad; clip: other limits slow them."),
    Rule(STALE, _REFUSED, "The observation is young enough on receipt, and not all steps are over."),
    Rule(FUTURE, _REFUSED, "Neither the observation nor the last step lies too far ahead."),
    Rule(SEQUENCE, _REFUSED, "Chunks are newer than the last one, until restart_silence_s has passed."),
    Rule(FLOOD, _REFUSED, "Chunks are accepted no faster than one in min_chunk_interval_s."),
    Rule(
        START_JUMP,
        _EITHER,
        "The arm is within max_start_m and max_start_rad of the chunk's next step or an earlier one; "
        "clip: other limits slow the way there.",
    ),
)
"""In the order in which they are asked; of those that reject the chunk the first one counts, and no other."""

MOTION_RULES = (
    Rule(WORKSPACE, _LIMITED, "The end effector stays inside the box."),
    Rule(TABLE, _LIMITED, "The gripper's keypoints stay above the table; clip: the pose is raised."),
    Rule(SELF_COLLISION, _LIMITED, "The arm's capsules keep their distance; clip: it is braked before."),
    Rule(CARTESIAN_SPEED, _LIMITED, "The end effector keeps to its speed and rate of turn."),
    Rule(CARTESIAN_ACCELERATION, _LIMITED, "Joints accelerate the end effector no more than its limit."),
    Rule(CARTESIAN_JERK, _LIMITED, "Their jerks move the end effector no more than its limit."),
    Rule(SINGULARITY, _LIMITED, "The end effector is slow near singularities."),
    Rule(IK_FAILURE, _LIMITED, "There are joint angles for the pose; clip: the target stays where it was."),
    Rule(IK_JUMP, _LIMITED, "They are close to the last ones; clip: the target stays where it was."),
    Rule(GRIPPER_RANGE, _LIMITED, "The gripper's width is one that it has."),
    Rule(JOINT_POSITION, _LIMITED, "Joints stay within their limits less the margin."),
    Rule(JOINT_VELOCITY, _LIMITED, "Joints keep to their share of the arm's limits of velocity."),
    Rule(JOINT_ACCELERATION, _LIMITED, "Joints keep to their limit of acceleration."),
    Rule(JOINT_JERK, _LIMITED, "Joints keep to their limit of jerk."),
)
"""Rules that act in control periods, each counted at most once in one."""

POSE_RULES = (WORKSPACE, TABLE, GRIPPER_RANGE)
"""Names of the rules on motion that a chunk is rejected by on receipt, after the others, unless they clip."""

WATCHDOGS = (
    Rule(CHUNK_TIMEOUT, _REFUSED, "The running chunk is replaced within chunk_timeout_s of its receipt, or over."),
    Rule(FEEDBACK_TIMEOUT, (FAULT,), "Measurements advance at least every feedback_timeout_s."),
    Rule(ARM_ERROR, (FAULT,), "The arm's library works and answers."),
)
"""Rules on what has to come; each counts once when it ends what the driver did."""

RULES = (*CHUNK_RULES, *MOTION_RULES, *WATCHDOGS)


def default_actions() -> dict[str, str]:
    """Return the default action of every rule."""
    return {rule.name: rule.default for rule in RULES}


@dataclass(frozen=True)
class Verdict:
    """A broken rule and its action: `REJECT` or `STOP`."""

    rule: str
    action: str


class RuleBook:
    """The actions of the rules, and how often each was broken."""

    def __init__(self, actions: Mapping[str, str]) -> None:
        """Take the action of every rule. Raises `ValueError` for one that the rule does not have."""
        for rule in RULES:
            if actions[rule.name] not in rule.actions:
                raise ValueError(f"rule '{rule.name}' cannot be '{actions[rule.name]}': {', '.join(rule.actions)}")
        self._actions = dict(actions)
        self._counts = dict.fromkeys((rule.name for rule in RULES), 0)
        self._acted: dict[str, None] = {}

    def action(self, rule: str) -> str:
        """Return the action of a rule."""
        return self._actions[rule]

    def count(self, rule: str) -> None:
        """Count a broken rule whose action was taken already."""
        self._counts[rule] += 1

    def act(self, rule: str) -> None:
        """Note that a rule was broken in this control period; it counts once."""
        self._acted[rule] = None

    def close_period(self) -> Verdict | None:
        """Count the rules broken in this period; return the gravest verdict, None if all were clipped."""
        verdict = None
        for rule in self._acted:
            self._counts[rule] += 1
            action = self._actions[rule]
            if action == STOP or (action == REJECT and verdict is None):
                verdict = Verdict(rule, action)
        self._acted.clear()
        return verdict

    def as_dict(self) -> dict[str, int]:
        """Return the count of each rule; always the same rules in the same order."""
        return dict(self._counts)
