# SPDX-License-Identifier: Apache-2.0
"""Executable `policy`."""

import signal
import warnings


def main() -> None:
    """Run the node until it is stopped."""
    # Importing torch takes seconds; who interrupts it wants no traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # The node says so itself, in its log, whenever the mode changes.
    warnings.filterwarnings("ignore", message="this checkpoint was never trained")
    from uva_node_utils.lifecycle import run
    from uva_policy_node.node import UvaPolicyNode

    try:
        # Joint states and poses come at 200 Hz: this executor needs 14 % of a core to hand them over, the usual 25 %.
        from rclpy.experimental import EventsExecutor as Executor
    except ImportError:  # ROS 2 Jazzy
        from rclpy.executors import SingleThreadedExecutor as Executor

    run(UvaPolicyNode, executor_factory=Executor)


if __name__ == "__main__":
    main()
