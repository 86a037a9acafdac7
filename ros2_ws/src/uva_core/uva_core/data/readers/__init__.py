# SPDX-License-Identifier: Apache-2.0
"""Readers of data sets: one module for each format, which returns `Demonstrations`. Imported by commands only."""
