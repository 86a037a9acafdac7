# SPDX-License-Identifier: Apache-2.0
"""Times and durations of messages as floats."""

import pytest
from builtin_interfaces.msg import Duration, Time

from uva_node_utils.time import duration_to_seconds, seconds_to_duration, seconds_to_stamp, stamp_to_seconds


@pytest.mark.parametrize("seconds", [0.0, 0.1, 1.6, 1_763_766_000.25])
def test_stamps_come_back(seconds):
    assert stamp_to_seconds(seconds_to_stamp(seconds)) == pytest.approx(seconds, abs=3e-7)


def test_known_values():
    assert seconds_to_stamp(12.5) == Time(sec=12, nanosec=500_000_000)
    assert seconds_to_duration(0.1) == Duration(sec=0, nanosec=100_000_000)
    assert seconds_to_duration(-0.25) == Duration(sec=-1, nanosec=750_000_000)
    assert duration_to_seconds(Duration(sec=-1, nanosec=750_000_000)) == -0.25


def test_rounding_never_gives_a_full_second_of_nanoseconds():
    assert seconds_to_duration(0.9999999999) == Duration(sec=1, nanosec=0)
