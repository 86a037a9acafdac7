# SPDX-License-Identifier: Apache-2.0
import random

import pytest

from uva_core.official import frames


def test_frames_lie_in_the_sequence_or_are_refused():
    assert frames.even_frames(16, 4) == [3, 7, 11, 15]
    with pytest.raises(ValueError, match="18 steps do not divide into 4 frames"):
        frames.even_frames(18, 4)
    with pytest.raises(ValueError, match="stride of 2 from step 3 leads beyond 8 steps"):
        frames.even_frames(8, 4)


def test_mixed_history_ends_at_the_present_and_keeps_the_future():
    chosen = frames.mixed_frames(32, 8, random.Random(1))
    assert chosen[3:] == [15, 19, 23, 27, 31]


def test_actions_begin_at_the_present_or_one_step_after_it():
    assert frames.action_steps(32, 0, past=False) == (None, range(15, 31))
    assert frames.action_steps(32, 1, past=True) == (range(1, 17), range(17, 33))
    with pytest.raises(ValueError, match="not 2"):
        frames.action_steps(32, 2, past=False)
