# SPDX-License-Identifier: Apache-2.0
"""Percentiles of a sliding window, without ROS."""

import math

import pytest

from uva_node_utils.latency import LatencyWindow


def test_percentiles_of_the_samples():
    window = LatencyWindow()
    for sample in range(101):
        window.add(sample / 100)
    assert len(window) == 100
    assert window.p50 == pytest.approx(0.505)
    assert window.p95 == pytest.approx(0.9505)
    assert window.percentile(0) == pytest.approx(0.01)


def test_a_slow_start_is_forgotten():
    window = LatencyWindow(size=3)
    for sample in (9.0, 0.1, 0.1, 0.1):
        window.add(sample)
    assert window.percentile(100) == 0.1


def test_an_empty_window_has_no_percentiles():
    window = LatencyWindow()
    assert math.isnan(window.p50)
    window.add(1.0)
    window.clear()
    assert math.isnan(window.p95)
    assert len(window) == 0
