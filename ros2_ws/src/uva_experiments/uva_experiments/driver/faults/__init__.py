# SPDX-License-Identifier: Apache-2.0
"""Breaks the stack on purpose, over real DDS, and measures how long the driver takes to be safe.

`python -m uva_experiments.driver.faults` runs it all; docs/faults.md has what came out.
"""
