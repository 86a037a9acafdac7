# SPDX-License-Identifier: Apache-2.0
"""Experiments with the driver: under faults, on a path, and the time of a control period. Nothing imports it."""
