# SPDX-License-Identifier: Apache-2.0
"""Experiments with numbers: everything may be imported here, and nothing imports this package."""
