# SPDX-License-Identifier: Apache-2.0
"""A small MuJoCo world of the ARX X5: arm, table, blocks, camera, scripted expert. Imports no ROS."""
