# SPDX-License-Identifier: Apache-2.0
"""Percentiles of a sliding window, without ROS."""

import math

from uva_node_utils.latency import LatencyWindow


def test_percentiles_of_the_samples():
    window = LatencyWindow()
    for sample in range(101):
        window.add(sample / 100)
    assert len(window) == 100
    assert window.p50 == 0.50
    assert window.p95 == 0.95
    assert window.percentile(0) == 0.01


def test_a_slow_start_is_forgotten():
    window = LatencyWindow(size=3)
    for sample in (9.0, 0.1, 0.1, 0.1):
        window.add(sample)
    assert window.percentile(100) == 0.1


def test_a_warm_up_is_left_out_also_after_a_new_start():
    window = LatencyWindow(size=20, warm_up=2)
    for _ in range(2):
        window.add(9.0)
        window.add(9.0)
        assert math.isnan(window.p95)
        window.add(0.1)
        assert window.percentile(100) == 0.1
        window.clear()


def test_an_empty_window_has_no_percentiles():
    window = LatencyWindow()
    assert math.isnan(window.p50)
    window.add(1.0)
    window.clear()
    assert math.isnan(window.p95)
    assert len(window) == 0
