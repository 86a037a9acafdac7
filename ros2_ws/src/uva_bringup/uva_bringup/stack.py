# SPDX-License-Identifier: Apache-2.0
"""The one description of the stack: which nodes run, with which parameters, for given options.

`launch/uva.launch.py` turns the description into launch actions, `uva_bringup.run` into processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import yaml
from ament_index_python.packages import get_package_share_directory

from uva_bringup.options import MASK_MODES, StackOptions
from uva_node_utils import topics

DRIVER = "arx_x5_driver"
SIM_CAMERA = "sim_camera"
POLICY = "uva_policy_node"
SHIPPED_MODEL = "uva_tiny.safetensors"
# What rviz/uva.rviz shows beside the camera. Its names are absolute; they are remapped into the namespace.
RVIZ_TOPICS = (topics.PREDICTED_IMAGE, topics.PREDICTED_STRIP, topics.EEF_POSE)

ParameterValue = bool | int | float | str

# Chunks reach 1.6 s ahead, and the driver holds within 0.3 s after the last step. It runs for longer than both after
# the policy's end, so that x5/status shows its hold.
POLICY_LINGER_S = 2.5


@dataclass(frozen=True)
class NodeSpec:
    """One process of the stack.

    Attributes:
        package: ROS package that installs the executable.
        executable: Name in the package's lib folder.
        name: Node name, or None where the process holds several nodes that name themselves.
        namespace: ROS namespace, "" for the root.
        parameter_files: Later ones win.
        parameters: Values that win over the files, by node and parameter name.
        remappings: Pairs (from, to).
        arguments: Arguments in front of the ROS ones.
        log_level: Level of the process's loggers.
        linger_s: How long the others keep running after this process has died.
        lifecycle: Whether the node is a lifecycle node.
    """

    package: str
    executable: str
    name: str | None
    namespace: str = ""
    parameter_files: tuple[Path, ...] = ()
    parameters: Mapping[str, Mapping[str, ParameterValue]] = field(default_factory=dict)
    remappings: tuple[tuple[str, str], ...] = ()
    arguments: tuple[str, ...] = ()
    log_level: str = "info"
    linger_s: float = 0.0
    lifecycle: bool = True

    @property
    def label(self) -> str:
        """What the process is called in output."""
        return self.name or self.executable

    def parameters_yaml(self) -> str:
        """Return `parameters` as the text of a parameter file.

        The nodes are matched in any namespace, because a launch file that includes this one may push another in
        front. The unusual pattern is needed: rcl applies the patterns in the order in which they first appear in all
        files, whichever file comes last. Any pattern that a user's file also has would lose against that file.
        """
        return yaml.safe_dump({f"/**/**/{node}": {"ros__parameters": dict(v)} for node, v in self.parameters.items()})


def stack(options: StackOptions, share: Path | None = None) -> list[NodeSpec]:
    """Return the processes that make up the stack.

    Args:
        options: What the user chose.
        share: Folder that holds config/ and models/; the installed one when not given.
    """
    builders = [_ROBOTS[options.robot], *_MODES[options.mask_mode]]
    if options.rviz:
        builders.append(_rviz)
    share = share or share_directory()
    return [build(options, share) for build in builders]


def share_directory() -> Path:
    """Return where this package's launch/, config/ and models/ are installed."""
    return Path(get_package_share_directory("uva_bringup"))


def checkpoint_path(options: StackOptions, share: Path) -> Path:
    """Return the checkpoint that the policy loads: the chosen one, or the one that ships."""
    return Path(options.model).absolute() if options.model else share / "models" / SHIPPED_MODEL


def _sim(options: StackOptions, share: Path) -> NodeSpec:
    return NodeSpec(
        package="arx_x5_sim",
        executable="sim",
        name=None,
        namespace=options.namespace,
        parameter_files=_files(options, share, "driver.yaml", "sim.yaml"),
        parameters={
            DRIVER: _driver_values(options),
            SIM_CAMERA: {"autostart": options.autostart, "seed": options.seed},
        },
        remappings=_camera_remappings(options),
        log_level=options.log_level,
    )


def _driver_values(options: StackOptions) -> dict[str, ParameterValue]:
    values: dict[str, ParameterValue] = {"autostart": options.autostart, "arm_model": options.arm_model}
    # Only what was asked for: a default would undo the safer setting of a parameter file.
    if options.guard != "off":
        values["guard"] = options.guard
    if options.dry_run:
        values["dry_run"] = True
    return values


def _sdk_driver(options: StackOptions, share: Path) -> NodeSpec:
    return _driver(options, share, {"arm": "sdk", "can_interface": options.can_interface})


def _loopback_driver(options: StackOptions, share: Path) -> NodeSpec:
    return _driver(options, share, {"arm": "loopback"})


def _driver(options: StackOptions, share: Path, parameters: dict[str, ParameterValue]) -> NodeSpec:
    return NodeSpec(
        package="arx_x5_driver",
        executable="driver",
        name=DRIVER,
        namespace=options.namespace,
        parameter_files=_files(options, share, "driver.yaml"),
        parameters={DRIVER: {**_driver_values(options), **parameters}},
        log_level=options.log_level,
    )


def _policy(options: StackOptions, share: Path) -> NodeSpec:
    values: dict[str, ParameterValue] = {
        "autostart": options.autostart,
        "mask_mode": options.mask_mode,
        "model": str(checkpoint_path(options, share)),
    }
    return NodeSpec(
        package="uva_policy_node",
        executable="policy",
        name=POLICY,
        namespace=options.namespace,
        parameter_files=_files(options, share, "policy.yaml"),
        parameters={POLICY: values},
        remappings=_camera_remappings(options),
        log_level=options.log_level,
        linger_s=POLICY_LINGER_S,
    )


def _rviz(options: StackOptions, share: Path) -> NodeSpec:
    return NodeSpec(
        package="rviz2",
        executable="rviz2",
        name="rviz2",
        namespace=options.namespace,
        remappings=(
            (f"/{topics.CAMERA}", options.camera_topic),
            *((f"/{topic}", topic) for topic in RVIZ_TOPICS),
        ),
        arguments=("-d", str(share / "config" / "rviz" / "uva.rviz")),
        log_level=options.log_level,
        lifecycle=False,
    )


_Builder = Callable[[StackOptions, Path], NodeSpec]
_ROBOTS: dict[str, _Builder] = {
    "sim": _sim,
    "x5": _sdk_driver,
    "loopback": _loopback_driver,
}
_MODES: dict[str, tuple[_Builder, ...]] = dict.fromkeys(MASK_MODES, (_policy,))


def _files(options: StackOptions, share: Path, *names: str) -> tuple[Path, ...]:
    users = (Path(options.params_file).absolute(),) if options.params_file else ()
    return (*(share / "config" / name for name in names), *users)


def _camera_remappings(options: StackOptions) -> tuple[tuple[str, str], ...]:
    if options.camera_topic == topics.CAMERA:
        return ()
    chosen_info = PurePosixPath(options.camera_topic).with_name("camera_info")
    return ((topics.CAMERA, options.camera_topic), (topics.CAMERA_INFO, str(chosen_info)))
