# SPDX-License-Identifier: Apache-2.0
"""Experiments whose numbers are published. Imports any package; nothing imports this one."""
