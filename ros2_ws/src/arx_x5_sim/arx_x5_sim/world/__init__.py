# SPDX-License-Identifier: Apache-2.0
"""The simulated table, arm and camera, in steps or in real time. Imports no task and no ROS."""
