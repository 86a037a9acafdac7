# SPDX-License-Identifier: Apache-2.0
"""Parsers of command-line values."""

from __future__ import annotations

import argparse


def parse_seeds(text: str) -> range:
    """Parse `first:count`."""
    first, _, count = text.partition(":")
    if not (first.isdigit() and count.isdigit() and int(count) > 0):
        raise argparse.ArgumentTypeError(f"'{text}': expected first:count, such as 20000:100")
    return range(int(first), int(first) + int(count))


def natural(text: str) -> int:
    """Parse a number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': expected a number of at least 1")
    return int(text)


def count(text: str) -> int:
    """Parse a number of at least 0."""
    return 0 if text == "0" else natural(text)
