# SPDX-License-Identifier: Apache-2.0
"""One publisher of chunks at a time: two policies that alternate would shake the arm between their targets."""

from __future__ import annotations

import math


class ChunkSource:
    """The publisher whose chunks are followed. It stays so until it has sent nothing for a time."""

    def __init__(self, silence_s: float) -> None:
        """Let another publisher take over after this much silence [s]."""
        self._silence_s = silence_s
        self._heard_s = -math.inf
        self.publisher = b""
        """The global id of that publisher; empty before the first chunk."""

    def accepts(self, publisher: bytes, now_s: float) -> bool:
        """Whether a chunk that this publisher sent now may be used. If so, it is the source from now on."""
        if publisher != self.publisher and now_s - self._heard_s < self._silence_s:
            return False
        self.publisher, self._heard_s = publisher, now_s
        return True
