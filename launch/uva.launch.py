# SPDX-License-Identifier: Apache-2.0
"""Start the UVA stack with ROS 2's own launch: `ros2 launch uva_bringup uva.launch.py robot:=sim ...`.

What is started is described in uva_bringup.stack; this file only turns it into launch actions.
"""

from dataclasses import fields
from pathlib import Path
from tempfile import mkdtemp

import launch.logging
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, Shutdown, TimerAction
from launch.events.process import ProcessExited
from launch.launch_context import LaunchContext
from launch.launch_description_entity import LaunchDescriptionEntity
from launch_ros.actions import LifecycleNode, Node

from uva_bringup.command import NODE_ENVIRONMENT, find_executable, write_parameters
from uva_bringup.options import StackOptions, as_text
from uva_bringup.stack import NodeSpec, stack
from uva_bringup.supervisor import describe_exit


def generate_launch_description() -> LaunchDescription:
    """Declare the stack's options as launch arguments and start its nodes."""
    arguments = [
        DeclareLaunchArgument(
            option.name,
            default_value=as_text(option.default),
            description=option.metadata["description"],
            choices=option.metadata["choices"] or None,
        )
        for option in fields(StackOptions)
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start_stack)])


def start_stack(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return an action for each node of the stack that the launch arguments describe."""
    values = {option.name: context.launch_configurations[option.name] for option in fields(StackOptions)}
    specs = stack(StackOptions.from_strings(values))
    # Before any node runs: an exception ends launch, and launch would leave running nodes behind.
    for spec in specs:
        find_executable(spec.package, spec.executable)
    # In the log folder of this run, where they may stay: nobody could remove them if launch is killed.
    folder = Path(mkdtemp(prefix="parameters_", dir=launch.logging.launch_config.log_dir))
    return [node_action(spec, folder) for spec in specs]


def node_action(spec: NodeSpec, folder: Path) -> Node:
    """Return the launch action that runs one process of the stack."""
    # launch follows the lifecycle of a node by its name, and a process with several nodes has none.
    make = LifecycleNode if spec.lifecycle and spec.name else Node
    return make(
        package=spec.package,
        executable=spec.executable,
        name=spec.name,
        namespace=spec.namespace,
        exec_name=spec.label,
        parameters=write_parameters(spec, folder),
        additional_env=dict(NODE_ENVIRONMENT),
        remappings=list(spec.remappings),
        arguments=list(spec.arguments),
        ros_arguments=["--log-level", spec.log_level],
        output="screen",
        emulate_tty=True,
        on_exit=lambda event, context: end_all(event, context, spec),
    )


def end_all(event: ProcessExited, context: LaunchContext, spec: NodeSpec) -> list[LaunchDescriptionEntity]:
    """Return the actions after the end of a node: the others end as well, `linger_s` later."""
    if context.is_shutdown:
        return []
    reason = f"{spec.label} {describe_exit(event.returncode)}"
    message = LogInfo(msg=f"{reason}; the others end in {spec.linger_s:.1f} s")
    return [message, TimerAction(period=spec.linger_s, actions=[Shutdown(reason=reason)])]
