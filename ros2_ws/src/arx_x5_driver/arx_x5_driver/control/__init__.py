# SPDX-License-Identifier: Apache-2.0
"""The control loop: states, watchdogs, timing and threads. The node imports it; it imports no ROS."""
