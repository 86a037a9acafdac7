# SPDX-License-Identifier: Apache-2.0
"""Mask modes: one network, five jobs, told apart by what is given and what is decoded (paper, section III-D)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class MaskMode(str, Enum):
    """What the model is asked to do. The values are those of parameters, messages and launch arguments."""

    POLICY = "policy"
    VIDEO = "video"
    FORWARD_DYNAMICS = "forward_dynamics"
    INVERSE_DYNAMICS = "inverse_dynamics"
    POLICY_PLANNER = "policy_planner"

    @classmethod
    def parse(cls, text: str) -> MaskMode:
        """Return the mode called `text`.

        Raises:
            ValueError: unknown mode; the message lists the known ones.
        """
        try:
            return cls(text)
        except ValueError:
            known = ", ".join(mode.value for mode in cls)
            raise ValueError(f"unknown mask mode '{text}'; choose one of: {known}") from None


@dataclass(frozen=True)
class ModeRule:
    """What one mode sees and what it is trained to decode."""

    official_name: str
    history_given: bool
    future_given: bool  # all future frames are seen (otherwise: only the unmasked positions, if `future_masked`)
    future_masked: bool  # future frames are seen where the generation mask is 0
    actions_given: bool
    decodes_video: bool
    decodes_actions: bool


RULES: dict[MaskMode, ModeRule] = {
    MaskMode.POLICY: ModeRule("policy_model", True, False, False, False, False, True),
    MaskMode.VIDEO: ModeRule("video_model", True, False, True, False, True, False),
    MaskMode.FORWARD_DYNAMICS: ModeRule("dynamic_model", True, False, True, True, True, False),
    MaskMode.INVERSE_DYNAMICS: ModeRule("inverse_model", False, True, False, False, False, True),
    MaskMode.POLICY_PLANNER: ModeRule("full_dynamic_model", True, False, True, False, True, True),
}
