# SPDX-License-Identifier: Apache-2.0
"""For all tests, in whatever folder pytest is started: a ROS domain of their own on this machine."""

import os

# DDS turns the domain into port numbers, which on Linux stay clear of other programs' up to domain 101.
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
