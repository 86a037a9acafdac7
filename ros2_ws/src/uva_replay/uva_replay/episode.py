# SPDX-License-Identifier: Apache-2.0
"""One pushing episode and how it ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Episode:
    """One episode; times in seconds since 1970.

    Attributes:
        number: 1, 2, ...
        seed: Of the scene.
        start_s: When the arm was enabled.
        end_s: When it was stopped.
        solved: Whether a block reached a square in time.
    """

    number: int
    seed: int
    start_s: float
    end_s: float
    solved: bool

    @property
    def duration_s(self) -> float:
        """From start to end."""
        return self.end_s - self.start_s
