# SPDX-License-Identifier: Apache-2.0
"""Executable `policy`."""

import warnings

from uva_node_utils.process import prepare_process


def main() -> None:
    """Run the node until it is stopped."""
    prepare_process()  # first, because importing torch takes seconds
    # The node logs this itself whenever the mode changes.
    warnings.filterwarnings("ignore", message="this checkpoint was never trained")
    from uva_node_utils.lifecycle import run
    from uva_policy_node.node import UvaPolicyNode

    try:
        # It takes 14 % of a core to receive joint states and poses at 200 Hz, the usual executor 25 %.
        from rclpy.experimental import EventsExecutor as Executor
    except ImportError:  # ROS 2 Jazzy
        from rclpy.executors import SingleThreadedExecutor as Executor

    run(UvaPolicyNode, executor_factory=Executor)


if __name__ == "__main__":
    main()
