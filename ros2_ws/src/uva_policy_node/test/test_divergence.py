# SPDX-License-Identifier: Apache-2.0
"""Predicted frames against those seen, without a node."""

import numpy as np
import pytest

from uva_core.policy.predictions import VideoPrediction
from uva_policy_node.divergence import Expectations, ExpectedFrame

AFTER_S = np.array([0.4, 0.8, 1.2, 1.6])


def grey(level, size=8):
    return np.full((size, size, 3), level, np.uint8)


def video(level):
    return VideoPrediction(AFTER_S, np.stack([grey(level + i) for i in range(4)]))


def test_divergence_goes_from_none_to_black_for_white():
    expected = ExpectedFrame(0.0, 1.0, grey(0))
    assert expected.divergence(grey(0)) == 0.0
    assert expected.divergence(grey(255)) == 1.0
    assert ExpectedFrame(0.0, 1.0, grey(255, 16)).divergence(grey(204, 16)) == pytest.approx(0.2)


def test_the_patch_that_differs_most_counts_wherever_it_is():
    expected = ExpectedFrame(0.0, 1.0, grey(100, 64))
    seen = grey(100, 64)
    seen[13:21, 42:50] = [100, 202, 151]  # as large as a patch, across the borders of any grid of them
    assert expected.divergence(seen) == pytest.approx(0.2)


def test_blurred_edges_cancel_out():
    sharp, blurred = grey(0, 64), grey(0, 64)
    sharp[:, 32:] = 200
    blurred[:, 33:], blurred[:, 31:33] = 200, 100
    assert ExpectedFrame(0.0, 1.0, blurred).divergence(sharp) == pytest.approx(200 / 2 / 8 / 255)


def test_a_frame_is_due_when_its_time_has_come_and_only_once():
    expectations = Expectations()
    expectations.add(100.0, video(10))
    assert expectations.take_due(100.3) is None
    first = expectations.take_due(100.41)
    assert (first.due_s, first.frame[0, 0, 0]) == (pytest.approx(100.4), 10)
    assert expectations.take_due(100.41) is None
    late = expectations.take_due(101.3)  # two have become due: the newer one counts
    assert (late.due_s, late.frame[0, 0, 0]) == (pytest.approx(101.2), 12)
    assert expectations.take_due(float("nan")) is None  # nothing seen yet
    assert expectations.take_due(101.6).frame[0, 0, 0] == 13


def test_of_overlapping_predictions_the_newest_counts():
    expectations = Expectations()
    expectations.add(100.0, video(10))
    expectations.add(100.2, video(100))
    expectations.add(100.45, video(200))
    counts = expectations.take_due(100.82)  # due: 100.4 and 100.8 of the first, 100.6 of the second
    assert (counts.made_s, counts.due_s, counts.frame[0, 0, 0]) == (100.2, pytest.approx(100.6), 100)
    assert expectations.take_due(100.9).frame[0, 0, 0] == 200


def test_clear_forgets_and_memory_is_bounded():
    expectations = Expectations(size=8)
    for i in range(100):
        expectations.add(100.0 + i, video(0))
    assert expectations.take_due(198.39) is None  # only the two newest predictions are left
    assert expectations.take_due(198.41).made_s == 198.0
    expectations.clear()
    assert expectations.take_due(1e9) is None
