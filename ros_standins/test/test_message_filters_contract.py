# SPDX-License-Identifier: Apache-2.0
"""What the nodes rely on in message_filters. Holds for the stand-in and for the real package alike."""

import threading
from types import SimpleNamespace

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from rclpy.time import Time
from std_msgs.msg import Header, String

from message_filters import ApproximateTimeSynchronizer, Cache, SimpleFilter, Subscriber, TimeSynchronizer

MS = 1_000_000


def stamped(stamp_ms: float, name: str = "") -> SimpleNamespace:
    """A message with a header and nothing else."""
    header = Header()
    header.stamp.sec, header.stamp.nanosec = divmod(round(stamp_ms * MS), 1000 * MS)
    return SimpleNamespace(header=header, name=name or f"{stamp_ms:g}")


class Synchronized:
    """A synchronizer over `count` inputs fed by hand, and what came out of it."""

    def __init__(self, count: int, make) -> None:
        self.inputs = [SimpleFilter() for _ in range(count)]
        self.matches: list[tuple[str, ...]] = []
        self.synchronizer = make(self.inputs)
        self.synchronizer.registerCallback(lambda *messages: self.matches.append(tuple(m.name for m in messages)))

    def feed(self, index: int, *stamps_ms: float) -> None:
        for stamp_ms in stamps_ms:
            self.inputs[index].signalMessage(stamped(stamp_ms))


def exact(count: int = 2, queue_size: int = 10) -> Synchronized:
    return Synchronized(count, lambda inputs: TimeSynchronizer(inputs, queue_size))


def approximate(count: int = 2, queue_size: int = 10, slop: float = 0.01) -> Synchronized:
    return Synchronized(count, lambda inputs: ApproximateTimeSynchronizer(inputs, queue_size, slop))


def test_callbacks_get_the_messages_and_their_own_arguments_in_order():
    calls = []
    simple = SimpleFilter()
    first = simple.registerCallback(lambda *args: calls.append(("first", args)), "extra")
    second = simple.registerCallback(lambda *args: calls.append(("second", args)))
    simple.signalMessage("a", "b")
    assert first != second
    assert calls == [("first", ("a", "b", "extra")), ("second", ("a", "b"))]


def test_exact_matches_equal_stamps_only_whatever_the_order_of_arrival():
    sync = exact()
    sync.feed(0, 10, 20, 30)
    sync.feed(1, 20.000001, 30, 10)
    assert sync.matches == [("30", "30"), ("10", "10")]


def test_exact_needs_a_message_of_every_input():
    sync = exact(count=3)
    sync.feed(0, 10)
    sync.feed(2, 10)
    assert sync.matches == []
    sync.feed(1, 10)
    assert sync.matches == [("10", "10", "10")]


@pytest.mark.parametrize("make", [exact, approximate])
def test_a_message_is_used_once(make):
    sync = make()
    sync.feed(0, 10)
    sync.feed(1, 10, 10)
    assert sync.matches == [("10", "10")]


@pytest.mark.parametrize("make", [exact, approximate])
def test_the_oldest_stamps_leave_a_full_queue_first(make):
    sync = make(queue_size=2)
    sync.feed(0, 300, 100, 200)
    sync.feed(1, 100)
    assert sync.matches == []
    sync.feed(1, 200, 300)
    assert sync.matches == [("200", "200"), ("300", "300")]


@pytest.mark.parametrize("make", [exact, approximate])
def test_a_second_message_of_a_stamp_replaces_the_first(make):
    sync = make()
    sync.inputs[0].signalMessage(stamped(10, "old"))
    sync.inputs[0].signalMessage(stamped(10, "new"))
    sync.feed(1, 10)
    assert sync.matches == [("new", "10")]


@pytest.mark.parametrize(("apart_ms", "matches"), [(0, True), (9.999, True), (10, False), (10.001, False)])
def test_approximate_matches_stamps_less_than_slop_apart(apart_ms, matches):
    for first, second in ((100, 100 + apart_ms), (100 + apart_ms, 100)):
        sync = approximate(slop=0.01)
        sync.feed(0, first)
        sync.feed(1, second)
        assert bool(sync.matches) is matches


def test_approximate_takes_the_nearest_waiting_message():
    sync = approximate(slop=0.02)
    sync.feed(0, 95, 102, 110)
    sync.feed(1, 100)
    assert sync.matches == [("102", "100")]


def test_approximate_does_not_wait_for_a_better_match():
    sync = approximate(slop=0.02)
    sync.feed(0, 90)
    sync.feed(1, 100)
    sync.feed(0, 100)
    assert sync.matches == [("90", "100")]


def test_approximate_wants_all_inputs_within_slop_of_each_other():
    sync = approximate(count=3, slop=0.01)
    sync.feed(0, 94)
    sync.feed(1, 106)
    sync.feed(2, 100)
    assert sync.matches == []
    sync.feed(1, 102)
    assert sync.matches == [("94", "102", "100")]


def test_approximate_tries_less_near_messages_when_the_nearest_do_not_fit_together():
    sync = approximate(count=3, slop=0.01)
    sync.feed(0, 96)
    sync.feed(1, 107, 93)
    sync.feed(2, 101)
    assert sync.matches == [("96", "93", "101")]


@pytest.mark.parametrize("first", [98, 102])
def test_approximate_takes_the_earlier_arrival_of_two_that_are_equally_near(first):
    sync = approximate(slop=0.02)
    sync.feed(0, first, 200 - first)
    sync.feed(1, 100)
    assert sync.matches == [(f"{first}", "100")]


def test_approximate_counts_a_replaced_message_as_arrived_when_its_stamp_first_came():
    sync = approximate(slop=0.02)
    sync.feed(0, 102, 98, 102)
    sync.feed(1, 100)
    assert sync.matches == [("102", "100")]


def test_approximate_varies_the_last_of_four_inputs_first():
    sync = approximate(count=4, slop=0.01)
    for index in (0, 1, 2):
        sync.feed(index, 96, 104)
    sync.feed(3, 100)
    sync.feed(3, 100)
    assert sync.matches == [("96", "96", "96", "100"), ("104", "104", "104", "100")]


@pytest.mark.parametrize("stamps", [("rclpy", "message"), ("rclpy", "rclpy")])
def test_approximate_takes_stamps_of_rclpy_too(stamps):
    sync = approximate()
    for simple, kind in zip(sync.inputs, stamps, strict=True):
        message = stamped(10, kind)
        if kind == "rclpy":
            message = SimpleNamespace(header=SimpleNamespace(stamp=Time.from_msg(message.header.stamp)), name=kind)
        simple.signalMessage(message)
    assert sync.matches == [stamps]


def test_stamps_of_different_seconds_compare_by_time():
    sync = approximate(slop=0.01)
    sync.feed(0, 999.5)
    sync.feed(1, 1000.5)
    assert sync.matches == [("999.5", "1000.5")]


def test_headerless_messages_are_refused_unless_allowed():
    for allowed in (False, True):
        sync = Synchronized(
            2,
            lambda inputs, allowed=allowed: ApproximateTimeSynchronizer(inputs, 10, 0.5, allow_headerless=allowed),
        )
        for simple in sync.inputs:
            simple.signalMessage(SimpleNamespace(name="bare"))
        assert sync.matches == ([("bare", "bare")] if allowed else [])


def at(stamp_ms: float) -> Time:
    return Time.from_msg(stamped(stamp_ms).header.stamp)


def cached(size: int, *stamps_ms: float) -> Cache:
    source = SimpleFilter()
    cache = Cache(source, size)
    for stamp_ms in stamps_ms:
        source.signalMessage(stamped(stamp_ms))
    return cache


def test_cache_keeps_the_last_arrivals_and_answers_by_time():
    cache = cached(3, 10, 20, 30, 40)
    assert [message.name for message in cache.getInterval(at(20), at(30))] == ["20", "30"]
    assert cache.getElemAfterTime(at(21)).name == "30"
    assert cache.getElemBeforeTime(at(39)).name == "30"
    assert cache.getElemAfterTime(at(41)) is None
    assert cache.getElemBeforeTime(at(19)) is None
    assert (cache.getOldestTime(), cache.getLastestTime(), cache.getLast().name) == (at(20), at(40), "40")


def test_cache_does_not_sort():
    cache = cached(3, 30, 10, 20)
    assert [message.name for message in cache.getInterval(at(0), at(100))] == ["30", "10", "20"]
    assert (cache.getOldestTime(), cache.getLastestTime()) == (at(30), at(20))
    assert cache.getElemAfterTime(at(15)).name == "30"
    assert cache.getElemBeforeTime(at(25)).name == "20"
    assert cache.getLast().name == "30"


def test_empty_cache_has_nothing():
    cache = cached(3)
    assert (cache.getOldestTime(), cache.getLastestTime(), cache.getLast()) == (None, None, None)


def test_cache_hands_messages_on_and_ignores_those_without_a_header_unless_allowed():
    for allowed in (False, True):
        source, received = SimpleFilter(), []
        Cache(source, 1, allow_headerless=allowed).registerCallback(received.append)
        source.signalMessage("bare")
        assert received == (["bare"] if allowed else [])


@pytest.mark.parametrize("make", [exact, approximate])
def test_inputs_may_come_from_different_threads(make):
    sync = make(queue_size=1000)
    threads = [threading.Thread(target=sync.feed, args=(index, *range(0, 10_000, 50))) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sync.matches) == sorted((f"{stamp}", f"{stamp}") for stamp in range(0, 10_000, 50))


@pytest.mark.system
@pytest.mark.parametrize("qos", [{}, {"qos_profile": qos_profile_sensor_data}])
def test_subscriber_hands_on_messages_of_its_topic(qos):
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("message_filters_contract", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        received = []
        subscriber = Subscriber(node, String, "message_filters_contract", **qos)
        subscriber.registerCallback(lambda message, extra: received.append((message.data, extra)), "extra")
        assert subscriber.getTopic() == "message_filters_contract"
        publisher = node.create_publisher(String, "message_filters_contract", 10)
        for _ in range(100):
            publisher.publish(String(data="hello"))
            executor.spin_once(timeout_sec=0.1)
            if received:
                break
        assert received[0] == ("hello", "extra")
        assert node.destroy_subscription(subscriber.sub)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)
