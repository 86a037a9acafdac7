# SPDX-License-Identifier: Apache-2.0
"""Executable `policy`."""

import signal


def main() -> None:
    """Run the node until it is stopped."""
    # Importing torch takes seconds; who interrupts it wants no traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from uva_node_utils.lifecycle import run
    from uva_policy_node.node import UvaPolicyNode

    run(UvaPolicyNode)


if __name__ == "__main__":
    main()
