# SPDX-License-Identifier: Apache-2.0
"""Pip-only stand-in for message_filters; same names, subset Subscriber, Cache and the two synchronizers.

A filter hands messages to registered callbacks. A synchronizer is a filter whose inputs are filters: it keeps
the newest messages of each input and hands on one of each when their header stamps agree.
"""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.clock import ROSClock
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


def _stamp_of(msg: Any, allow_headerless: bool) -> Time | None:
    """Return the stamp of a message, a builtin_interfaces Time or one of rclpy; None for one that has none."""
    if hasattr(msg, "header") and hasattr(msg.header, "stamp"):
        stamp = msg.header.stamp
        return stamp if isinstance(stamp, Time) else Time.from_msg(stamp)
    if allow_headerless:
        return ROSClock().now()
    get_logger("message_filters").warning(
        f"{type(msg).__name__} has no header, so it is ignored; see allow_headerless", once=True
    )
    return None


class Cache(SimpleFilter):
    """The newest `cache_size` messages of a filter, in the order of arrival. Hands every message on.

    With `allow_headerless`, messages without a header count as stamped when they arrive; otherwise they are ignored.
    """

    def __init__(self, f: SimpleFilter, cache_size: int = 1, allow_headerless: bool = False) -> None:
        super().__init__()
        self.cache_size = cache_size
        self.allow_headerless = allow_headerless
        self.cache_msgs: list[Any] = []
        self.cache_times: list[Time] = []
        self.connectInput(f)

    def connectInput(self, f: SimpleFilter) -> None:  # noqa: N802 - the real one's name
        """Also take the messages of `f`."""
        self.incoming_connection = f.registerCallback(self.add)

    def add(self, msg: Any) -> None:
        """Take a message."""
        stamp = _stamp_of(msg, self.allow_headerless)
        if stamp is None:
            return
        self.cache_msgs.append(msg)
        self.cache_times.append(stamp)
        if len(self.cache_msgs) > self.cache_size:
            del self.cache_msgs[0], self.cache_times[0]
        self.signalMessage(msg)

    def getInterval(self, from_stamp: Time, to_stamp: Time) -> list[Any]:  # noqa: N802 - the real one's name
        """Return the messages from one time to another, both included."""
        return [msg for msg, time in self._entries() if from_stamp <= time <= to_stamp]

    def getElemAfterTime(self, stamp: Time) -> Any:  # noqa: N802 - the real one's name
        """Return the first message to have arrived that is not older than `stamp`, or None."""
        return next((msg for msg, time in self._entries() if time >= stamp), None)

    def getElemBeforeTime(self, stamp: Time) -> Any:  # noqa: N802 - the real one's name
        """Return the last message to have arrived that is not newer than `stamp`, or None."""
        return next((msg for msg, time in reversed(self._entries()) if time <= stamp), None)

    def getLastestTime(self) -> Time | None:  # noqa: N802 - the real one's name
        """Return the stamp of the last message to have arrived, or None."""
        return self.cache_times[-1] if self.cache_times else None

    def getOldestTime(self) -> Time | None:  # noqa: N802 - the real one's name
        """Return the stamp of the first message to have arrived, or None."""
        return self.cache_times[0] if self.cache_times else None

    def getLast(self) -> Any:  # noqa: N802 - the real one's name
        """Return the first message that is not older than the last to have arrived, or None."""
        return self.getElemAfterTime(self.cache_times[-1]) if self.cache_times else None

    def _entries(self) -> list[tuple[Any, Time]]:
        return list(zip(self.cache_msgs, self.cache_times, strict=True))


class _Queue:
    """The newest messages of one input, by stamp in nanoseconds."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._messages: dict[int, Any] = {}
        # When each stamp was first seen; of two that are equally near, the earlier one is taken.
        self._arrivals: dict[int, int] = {}
        self._count = itertools.count()
        # Kept sorted, so that searching neighbours of a stamp does not walk over a fast topic's whole queue.
        self._stamps: list[int] = []

    def __contains__(self, stamp: int) -> bool:
        return stamp in self._messages

    def add(self, stamp: int, message: Any) -> None:
        """Add a message in place of one with the same stamp, and forget the oldest ones beyond the size."""
        if stamp not in self._messages:
            insort(self._stamps, stamp)
            self._arrivals[stamp] = next(self._count)
        self._messages[stamp] = message
        while len(self._stamps) > self._size:
            self.pop(self._stamps[0])

    def near(self, stamp: int, slop: int) -> list[int]:
        """Return the stamps at most `slop` away from `stamp`, nearest first."""
        first = bisect_left(self._stamps, stamp - slop)
        last = bisect_right(self._stamps, stamp + slop)
        return sorted(self._stamps[first:last], key=lambda other: (abs(other - stamp), self._arrivals[other]))

    def pop(self, stamp: int) -> Any:
        """Take out the message of that stamp."""
        del self._stamps[bisect_left(self._stamps, stamp)], self._arrivals[stamp]
        return self._messages.pop(stamp)


class TimeSynchronizer(SimpleFilter):
    """Hand on one message of each filter in `fs` when all have exactly the same stamp.

    Callbacks run while the synchronizer is locked, so they never overlap and come in order.
    """

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        self.queue_size = queue_size
        self.allow_headerless = False
        self.lock = threading.Lock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:  # noqa: N802 - the real one's name
        """Start anew with empty queues, fed by `fs`."""
        self.queues = [_Queue(self.queue_size) for _ in fs]
        self.input_connections = [f.registerCallback(self.add, index) for index, f in enumerate(fs)]

    def add(self, msg: Any, index: int) -> None:
        """Take a message of input `index`."""
        time = _stamp_of(msg, self.allow_headerless)
        if time is None:
            return
        stamp = time.nanoseconds
        with self.lock:
            self.queues[index].add(stamp, msg)
            if stamp in self.queues[index]:  # otherwise it is older than everything in a full queue
                self._match(stamp, index)

    def _match(self, stamp: int, index: int) -> None:
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
    ignored.
    """

    def __init__(
        self, fs: Sequence[SimpleFilter], queue_size: int, slop: float, allow_headerless: bool = False
    ) -> None:
        super().__init__(fs, queue_size)
        self.allow_headerless = allow_headerless
        self._slop_ns = int(slop * 1e9)

    def _match(self, stamp: int, index: int) -> None:
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
