# SPDX-License-Identifier: Apache-2.0
import pytest

from uva_core.modes import RULES, MaskMode


def test_every_mode_has_a_rule_and_parses_from_its_value():
    for mode in MaskMode:
        assert MaskMode.parse(mode.value) is mode
        assert RULES[mode].decodes_video or RULES[mode].decodes_actions


def test_an_unknown_mode_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown mask mode 'dream'.*policy, video, forward_dynamics"):
        MaskMode.parse("dream")
