# SPDX-License-Identifier: Apache-2.0
"""Executable `driver`: the node on its own, with the real arm or a loopback."""

import sys

from arx_x5_driver.node import ArxX5Driver
from uva_node_utils.lifecycle import run

SWITCH_INTERVAL_S = 0.0005
"""How long Python lets another thread go on while the control loop waits for its turn: 5 ms by default, a period."""


def main() -> None:
    """Run the driver until SIGINT or SIGTERM."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    run(ArxX5Driver)
