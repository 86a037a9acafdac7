# SPDX-License-Identifier: Apache-2.0
"""For all tests, in whatever folder pytest is started: a ROS domain that nobody else on this machine uses."""

import os
import runpy
from pathlib import Path

# Always a domain of the tests' own, whatever the shell exports: they enable, stop and reset arms.
# Read as a file, because a test of one package needs no other to be installed.
domain = runpy.run_path(str(Path(__file__).parent / "ros2_ws/src/uva_bringup/uva_bringup/demo/domain.py"))
os.environ.update(domain["isolated_environment"]())
