# SPDX-License-Identifier: Apache-2.0
"""The options of the stack, and how they are read from `name:=value` strings."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from uva_node_utils import topics

ROBOTS = ("sim", "x5", "loopback")
# The values of uva_core.MaskMode, spelled out because this package knows the others by name only (a test compares).
MASK_MODES = ("policy", "video", "forward_dynamics", "inverse_dynamics", "policy_planner")
ARM_MODELS = ("X5_umi", "X5", "L5")
GUARDS = ("off", "slow", "hold")
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
LARGEST_SEED = 2**63 - 1  # of a ROS parameter
_NAMESPACE = re.compile(r"(/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*)?/?", re.ASCII)


class OptionError(ValueError):
    """An option that does not exist or cannot have that value; the message is one line for the user."""


def _option(default: Any, description: str, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"description": description, "choices": choices})


@dataclass(frozen=True)
class StackOptions:
    """The stack's deployment choices; everything finer is a node parameter in config/*.yaml."""

    robot: str = _option("sim", "What moves: the MuJoCo X5, a real X5 on CAN, or an arm that only echoes.", ROBOTS)
    mask_mode: str = _option("policy", "What the model computes (policy and policy_planner move the arm).", MASK_MODES)
    model: str = _option("", "Checkpoint file; empty: the shipped weights, which know only the simulation.")
    camera_topic: str = _option(topics.CAMERA, "Image topic that the policy sees, with camera_info beside it.")
    arm_model: str = _option("X5_umi", "Which arm the driver talks to.", ARM_MODELS)
    can_interface: str = _option("can0", "CAN interface of the real arm (robot:=x5).")
    dry_run: bool = _option(False, "The driver computes and publishes everything, but sends no command (robot:=x5).")
    guard: str = _option("off", "What the driver does where observed frames diverge from predicted ones.", GUARDS)
    namespace: str = _option("", "ROS namespace of all nodes.")
    seed: int = _option(0, "Seed of the simulated world's first scene (robot:=sim).")
    autostart: bool = _option(True, "Nodes configure and activate themselves.")
    rviz: bool = _option(False, "Also start RViz with the stack's view.")
    params_file: str = _option("", "Parameter file read by all nodes after those in config/.")
    log_level: str = _option("info", "Log level of all nodes.", LOG_LEVELS)

    def __post_init__(self) -> None:
        """Check every choice, so that a wrong one is reported before any process starts. Raises OptionError."""
        for option in fields(self):
            choices = option.metadata["choices"]
            value = getattr(self, option.name)
            if choices and value not in choices:
                raise OptionError(f"{option.name}:={value} is not one of: {', '.join(choices)}")
        if self.robot == "sim" and self.arm_model != "X5_umi":
            raise OptionError(f"arm_model:={self.arm_model} cannot be simulated: robot:=sim is an X5_umi")
        if self.robot == "x5" and not self.model:
            raise OptionError("robot:=x5 needs model:=FILE: the shipped weights have only ever moved a simulated arm")
        if self.dry_run and self.robot == "sim":
            raise OptionError("dry_run:=true is for robot:=x5: the simulated arm is there to move")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise OptionError(f"seed:={self.seed} is not from 0 to {LARGEST_SEED}")
        if not _NAMESPACE.fullmatch(self.namespace):
            raise OptionError(f"namespace:={self.namespace} is not of the form left or /cell1/left")
        if self.model:
            _check_readable("model", self.model)
        if self.params_file:
            _check_parameters(self.params_file)

    @classmethod
    def from_strings(cls, values: Mapping[str, str]) -> StackOptions:
        """Make options from texts by name, as launch arguments and the command line give them.

        Raises:
            OptionError: An unknown name, or a text that is no value of that option's type.
        """
        known = {option.name: type(option.default) for option in fields(cls)}
        for name in values:
            if name not in known:
                raise OptionError(f"unknown option '{name}' (there are: {', '.join(known)})")
        return cls(**{name: _convert(name, text, known[name]) for name, text in values.items()})

    @classmethod
    def parse(cls, arguments: Iterable[str]) -> StackOptions:
        """Make options from `name:=value` arguments; the last of equal names counts.

        Raises:
            OptionError: An argument of another form, or a value that does not fit.
        """
        values = {}
        for argument in arguments:
            name, separator, value = argument.partition(":=")
            if not separator:
                raise OptionError(f"'{argument}' is not of the form name:=value")
            values[name] = value
        return cls.from_strings(values)


def _convert(name: str, text: str, kind: type) -> Any:
    if kind is bool:
        if text.lower() in ("true", "1"):
            return True
        if text.lower() in ("false", "0"):
            return False
        raise OptionError(f"{name}:={text} is not one of: true, false")
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise OptionError(f"{name}:={text} is not a whole number") from None
    return text


def _check_readable(option: str, path: str) -> None:
    try:
        exists, is_file = Path(path).exists(), Path(path).is_file()
    except OSError as error:  # a name that is too long, or a folder that may not be entered
        raise OptionError(f"{option}:={path[:80]} cannot be read: {error.strerror}") from None
    if not exists:
        raise OptionError(f"{option}:={path}: no such file")
    if not is_file:
        raise OptionError(f"{option}:={path} is not a file")
    if not os.access(path, os.R_OK):
        raise OptionError(f"{option}:={path} cannot be read: check its permissions")


def _check_parameters(path: str) -> None:
    """Raise OptionError unless the file reads as ROS parameters; what they are called is for the nodes to check."""
    _check_readable("params_file", path)
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        valid = content is None or _holds_parameters(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise OptionError(f"params_file:={path} is not YAML: {reason}") from None
    if not valid:
        raise OptionError(f"params_file:={path} is not of the form NODE: {{ros__parameters: {{NAME: VALUE}}}}")


def _holds_parameters(content: object) -> bool:
    """Return whether every node, and every namespace of nodes, has a mapping `ros__parameters`."""
    if not isinstance(content, dict) or not content:
        return False
    if "ros__parameters" in content:
        return isinstance(content["ros__parameters"], dict)
    return all(_holds_parameters(value) for value in content.values())


def as_text(value: object) -> str:
    """Return an option's value as it is written on a command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def describe_options() -> str:
    """Return the list of options with description, choices and default, for `--help`."""
    lines = []
    for option in fields(StackOptions):
        default = as_text(option.default) or '""'
        choices = option.metadata["choices"]
        allowed = f" One of: {', '.join(choices)}." if choices else ""
        lines += [f"  {option.name}:={default}", f"      {option.metadata['description']}{allowed}"]
    return "\n".join(lines)
