# SPDX-License-Identifier: Apache-2.0
"""A parameter for each safety rule that has more than one action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from arx_x5_driver.rules.rules import RULES
from uva_node_utils.specs import param

_RULES = {rule.name: rule for rule in RULES}


def _action(name: str) -> Any:
    rule = _RULES[name]
    return param(rule.default, rule.description, choices=rule.actions)


@dataclass(frozen=True)
class RuleParameters:
    """The action of each rule; see `rules` for what they mean."""

    rule_source: str = _action("source")
    rule_message: str = _action("message")
    rule_empty: str = _action("empty")
    rule_length: str = _action("length")
    rule_not_finite: str = _action("not_finite")
    rule_quaternion: str = _action("quaternion")
    rule_frame: str = _action("frame")
    rule_times: str = _action("times")
    rule_step_jump_m: str = _action("step_jump_m")
    rule_step_jump_rad: str = _action("step_jump_rad")
    rule_stale: str = _action("stale")
    rule_future: str = _action("future")
    rule_sequence: str = _action("sequence")
    rule_flood: str = _action("flood")
    rule_start_jump: str = _action("start_jump")
    rule_workspace: str = _action("workspace")
    rule_table: str = _action("table")
    rule_self_collision: str = _action("self_collision")
    rule_cartesian_speed: str = _action("cartesian_speed")
    rule_cartesian_acceleration: str = _action("cartesian_acceleration")
    rule_cartesian_jerk: str = _action("cartesian_jerk")
    rule_singularity: str = _action("singularity")
    rule_ik_failure: str = _action("ik_failure")
    rule_ik_jump: str = _action("ik_jump")
    rule_gripper_range: str = _action("gripper_range")
    rule_joint_position: str = _action("joint_position")
    rule_joint_velocity: str = _action("joint_velocity")
    rule_joint_acceleration: str = _action("joint_acceleration")
    rule_joint_jerk: str = _action("joint_jerk")
    rule_chunk_timeout: str = _action("chunk_timeout")

    def actions(self) -> dict[str, str]:
        """Return the action of each rule by its name."""
        return {name: getattr(self, f"rule_{name}", rule.default) for name, rule in _RULES.items()}
