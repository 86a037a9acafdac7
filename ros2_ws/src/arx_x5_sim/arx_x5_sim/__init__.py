# SPDX-License-Identifier: Apache-2.0
"""A small MuJoCo world of the ARX X5, as a robot in ROS 2 and as a source of data; only the root's files import ROS."""
