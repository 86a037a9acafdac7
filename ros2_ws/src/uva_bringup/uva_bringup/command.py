# SPDX-License-Identifier: Apache-2.0
"""From a NodeSpec to the command line of its process, as launch_ros would make it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from uva_bringup.stack import NodeSpec

# Makes a node of uva_node_utils stop when the process that started it has ended, in whatever way.
NODE_ENVIRONMENT: Mapping[str, str] = {"UVA_DIE_WITH_PARENT": "1"}


class ExecutableNotFoundError(RuntimeError):
    """The package or its executable is not installed where ROS looks; the message is for the user."""


def find_executable(package: str, executable: str) -> Path:
    """Return the executable below the package's install prefix.

    Raises:
        ExecutableNotFoundError: The package is unknown, or has no such executable.
    """
    try:
        prefix = get_package_prefix(package)
    except PackageNotFoundError:
        raise ExecutableNotFoundError(
            f"package '{package}' is not in AMENT_PREFIX_PATH: is it installed, and the workspace built and sourced?"
        ) from None
    path = Path(prefix) / "lib" / package / executable
    if not os.access(path, os.X_OK):
        raise ExecutableNotFoundError(f"package '{package}' has no executable '{executable}' in {path.parent}")
    return path


def ros_arguments(spec: NodeSpec, parameter_files: Iterable[Path]) -> list[str]:
    """Return what follows `--ros-args`; of the files, what comes later wins."""
    arguments: list[str] = []
    if spec.name:
        arguments += ["-r", f"__node:={spec.name}"]
    if spec.namespace:
        arguments += ["-r", f"__ns:=/{spec.namespace.strip('/')}"]
    for source, target in spec.remappings:
        arguments += ["-r", f"{source}:={target}"]
    for file in parameter_files:
        arguments += ["--params-file", str(file)]
    return [*arguments, "--log-level", spec.log_level]


def write_parameters(spec: NodeSpec, folder: Path) -> list[Path]:
    """Return all parameter files of a process, the last of them written to the folder."""
    if not spec.parameters:
        return list(spec.parameter_files)
    chosen = folder / f"{spec.label}.yaml"
    chosen.write_text(spec.parameters_yaml())
    return [*spec.parameter_files, chosen]


def command_line(spec: NodeSpec, folder: Path) -> list[str]:
    """Return the whole command of one process; its own parameter file is written to the folder."""
    executable = find_executable(spec.package, spec.executable)
    files = write_parameters(spec, folder)
    return [str(executable), *spec.arguments, "--ros-args", *ros_arguments(spec, files)]
