# SPDX-License-Identifier: Apache-2.0
"""Pip-only stand-in for message_filters; same names, subset Subscriber, Cache and the two synchronizers.

A filter hands messages to registered callbacks. A synchronizer is a filter whose inputs are filters: it keeps
the newest messages of each input and hands on one of each when their header stamps agree.
"""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.clock import ClockType, ROSClock
from rclpy.logging import get_logger
from rclpy.time import Time

__all__ = ["ApproximateTimeSynchronizer", "Cache", "SimpleFilter", "Subscriber", "TimeSynchronizer"]


class SimpleFilter:
    """Base of all filters: a list of callbacks."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> int:  # noqa: N802 - the real one's name
        """Call `cb(*messages, *args)` for all that comes out of this filter. Returns its number."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:  # noqa: N802 - the real one's name
        """Hand `msg` to every callback, in the order in which they were registered."""
        for callback, args in self.callbacks.values():
            callback(*msg, *args)


class Subscriber(SimpleFilter):
    """A subscription as a filter. Takes what `node.create_subscription` takes, without the callback."""

    def __init__(self, node: Any, msg_type: Any, topic: str, /, *, qos_profile: Any = 10, **kwargs: Any) -> None:
        super().__init__()
        self.node = node
        self.topic = topic
        self.sub = node.create_subscription(msg_type, topic, self.signalMessage, qos_profile=qos_profile, **kwargs)

    def getTopic(self) -> str:  # noqa: N802 - the real one's name
        """Return the topic as it was given."""
        return self.topic


class _Queue:
    """The newest messages of one input, by stamp in nanoseconds."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._added = itertools.count()
        self._arrivals: dict[int, int] = {}
        self._messages: dict[int, Any] = {}
        # Kept sorted, so that searching neighbours of a stamp does not walk over a fast topic's whole queue.
        self._stamps: list[int] = []

    def __contains__(self, stamp: int) -> bool:
        return stamp in self._messages

    def add(self, stamp: int, message: Any) -> None:
        """Add a message in place of one with the same stamp, and forget the oldest ones beyond the size."""
        if stamp not in self._messages:
            insort(self._stamps, stamp)
            self._arrivals[stamp] = next(self._added)
        self._messages[stamp] = message
        while len(self._stamps) > self._size:
            self.pop(self._stamps[0])

    def near(self, stamp: int, slop: int) -> list[int]:
        """Return the stamps at most `slop` from `stamp`, nearest first, and of equally near ones the first added."""
        first = bisect_left(self._stamps, stamp - slop)
        last = bisect_right(self._stamps, stamp + slop)
        return sorted(self._stamps[first:last], key=lambda other: (abs(other - stamp), self._arrivals[other]))

    def pop(self, stamp: int) -> Any:
        """Take out the message of that stamp."""
        del self._stamps[bisect_left(self._stamps, stamp)]
        del self._arrivals[stamp]
        return self._messages.pop(stamp)


def _header_stamp_ns(msg: Any) -> int:
    """Return the stamp of a header, which holds a message or an rclpy `Time`."""
    stamp = msg.header.stamp
    if hasattr(stamp, "nanoseconds"):
        return int(stamp.nanoseconds)
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


class Cache(SimpleFilter):
    """Keep the newest `cache_size` messages of a filter in the order in which they came, and hand them on.

    Times are rclpy `Time`. With `allow_headerless`, messages without a header count as stamped when they arrive.
    """

    def __init__(self, f: SimpleFilter, cache_size: int = 1, allow_headerless: bool = False) -> None:
        super().__init__()
        self.allow_headerless = allow_headerless
        self._kept: deque[tuple[Time, Any]] = deque(maxlen=cache_size)
        self.connectInput(f)

    def connectInput(self, f: SimpleFilter) -> None:  # noqa: N802 - the real one's name
        """Take messages from `f`."""
        self.incoming_connection = f.registerCallback(self.add)

    def add(self, msg: Any) -> None:
        """Keep a message, and hand it on."""
        if hasattr(msg, "header"):
            stamp = Time(nanoseconds=_header_stamp_ns(msg), clock_type=ClockType.ROS_TIME)
        elif self.allow_headerless:
            stamp = ROSClock().now()
        else:
            _refuse(msg)
            return
        self._kept.append((stamp, msg))
        self.signalMessage(msg)

    def getInterval(self, from_stamp: Time, to_stamp: Time) -> list[Any]:  # noqa: N802 - the real one's name
        """Return the messages between two times, both included."""
        return [msg for stamp, msg in self._kept if from_stamp <= stamp <= to_stamp]

    def getElemAfterTime(self, stamp: Time) -> Any:  # noqa: N802 - the real one's name
        """Return the first message at or after a time, else None."""
        return next((msg for kept, msg in self._kept if kept >= stamp), None)

    def getElemBeforeTime(self, stamp: Time) -> Any:  # noqa: N802 - the real one's name
        """Return the last message at or before a time, else None."""
        return next((msg for kept, msg in reversed(self._kept) if kept <= stamp), None)

    def getLastestTime(self) -> Time | None:  # noqa: N802 - the real one's name, spelt so
        """Return the time of the message that came last, else None."""
        return self._kept[-1][0] if self._kept else None

    def getOldestTime(self) -> Time | None:  # noqa: N802 - the real one's name
        """Return the time of the message that came first, else None."""
        return self._kept[0][0] if self._kept else None

    def getLast(self) -> Any:  # noqa: N802 - the real one's name
        """Return the first message at or after the time of the one that came last, else None."""
        newest = self.getLastestTime()
        return None if newest is None else self.getElemAfterTime(newest)


def _refuse(msg: Any) -> None:
    get_logger("message_filters").warning(
        f"{type(msg).__name__} has no header, so it cannot be synchronized; see allow_headerless", once=True
    )


class TimeSynchronizer(SimpleFilter):
    """Hand on one message of each filter in `fs` when all have exactly the same stamp.

    Callbacks run while the synchronizer is locked, so they never overlap and come in order.
    """

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        self.queue_size = queue_size
        self.lock = threading.Lock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:  # noqa: N802 - the real one's name
        """Start anew with empty queues, fed by `fs`."""
        self.queues = [_Queue(self.queue_size) for _ in fs]
        self.input_connections = [f.registerCallback(self.add, index) for index, f in enumerate(fs)]

    def add(self, msg: Any, index: int) -> None:
        """Take a message of input `index`."""
        stamp = _header_stamp_ns(msg)
        with self.lock:
            self.queues[index].add(stamp, msg)
            # Only the new message's stamp can have become complete.
            if all(stamp in queue for queue in self.queues):
                self._signal([stamp] * len(self.queues))

    def _signal(self, stamps: Sequence[int]) -> None:
        messages = [queue.pop(stamp) for queue, stamp in zip(self.queues, stamps, strict=True)]
        self.signalMessage(*messages)


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Hand on one message of each filter when their stamps lie less than `slop` seconds apart.

    Each new message is matched with the nearest waiting messages of the other inputs. A message is used once.
    With `allow_headerless`, messages without a header count as stamped when they arrive; otherwise they are
    refused.
    """

    def __init__(
        self, fs: Sequence[SimpleFilter], queue_size: int, slop: float, allow_headerless: bool = False
    ) -> None:
        super().__init__(fs, queue_size)
        self.allow_headerless = allow_headerless
        self._slop_ns = int(slop * 1e9)

    def add(self, msg: Any, index: int) -> None:
        """Take a message of input `index`."""
        if hasattr(msg, "header"):
            stamp = _header_stamp_ns(msg)
        elif self.allow_headerless:
            stamp = ROSClock().now().nanoseconds
        else:
            _refuse(msg)
            return
        with self.lock:
            self.queues[index].add(stamp, msg)
            if stamp not in self.queues[index]:
                return  # older than everything in a full queue
            candidates = []
            for other, queue in enumerate(self.queues):
                stamps = [stamp] if other == index else queue.near(stamp, self._slop_ns)
                if not stamps:
                    return
                candidates.append(stamps)
            for combination in itertools.product(*candidates):
                if max(combination) - min(combination) < self._slop_ns:
                    self._signal(combination)
                    return
