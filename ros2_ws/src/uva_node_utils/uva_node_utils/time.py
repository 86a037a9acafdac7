# SPDX-License-Identifier: Apache-2.0
"""ROS times and durations to seconds as floats, and back.

A float holds the seconds since 1970 to about a quarter of a microsecond.
"""

from builtin_interfaces.msg import Duration, Time

_NS_PER_S = 1_000_000_000


def stamp_to_seconds(stamp: Time) -> float:
    """Return a time of a message header in seconds."""
    return stamp.sec + stamp.nanosec * 1e-9


def seconds_to_stamp(seconds: float) -> Time:
    """Return a time for a message header."""
    sec, nanosec = divmod(round(seconds * _NS_PER_S), _NS_PER_S)
    return Time(sec=sec, nanosec=nanosec)


def duration_to_seconds(duration: Duration) -> float:
    """Return a duration in seconds. Durations may be negative."""
    return duration.sec + duration.nanosec * 1e-9


def seconds_to_duration(seconds: float) -> Duration:
    """Return a duration for a message. Durations may be negative."""
    sec, nanosec = divmod(round(seconds * _NS_PER_S), _NS_PER_S)
    return Duration(sec=sec, nanosec=nanosec)
