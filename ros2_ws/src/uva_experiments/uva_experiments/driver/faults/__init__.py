# SPDX-License-Identifier: Apache-2.0
"""Faults of the stack, caused on purpose over DDS, and how long the driver takes to be safe.

`python -m uva_experiments.driver.faults` runs it all; docs/faults.md has the results. Nothing imports it.
"""
