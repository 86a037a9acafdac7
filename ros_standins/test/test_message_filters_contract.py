# SPDX-License-Identifier: Apache-2.0
"""What the nodes rely on in message_filters. Holds for the stand-in and for the real package alike."""

import threading
from types import SimpleNamespace

import pytest
import rclpy
from rclpy.clock import ClockType
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


def time(stamp_ms: float) -> Time:
    return Time(nanoseconds=round(stamp_ms * MS), clock_type=ClockType.ROS_TIME)


def test_of_equally_near_messages_the_one_that_came_first_is_taken():
    sync = approximate(slop=0.05)
    sync.feed(0, 30, 10)
    sync.feed(1, 20)
    assert sync.matches == [("30", "20")]


def test_stamps_may_be_times_of_rclpy():
    sync = approximate()
    for index in range(2):
        header = SimpleNamespace(stamp=time(10))
        sync.inputs[index].signalMessage(SimpleNamespace(header=header, name=f"input {index}"))
    assert sync.matches == [("input 0", "input 1")]


def test_a_cache_keeps_the_newest_messages_and_hands_all_on():
    source, heard = SimpleFilter(), []
    cache = Cache(source, 3)
    cache.registerCallback(lambda message: heard.append(message.name))
    assert cache.getLast() is None
    for stamp_ms in (10, 20, 30, 40):
        source.signalMessage(stamped(stamp_ms))
    assert heard == ["10", "20", "30", "40"]
    assert [m.name for m in cache.getInterval(time(0), time(30))] == ["20", "30"]
    assert cache.getElemAfterTime(time(21)).name == "30"
    assert cache.getElemBeforeTime(time(39)).name == "30"
    assert cache.getElemBeforeTime(time(5)) is None
    assert (cache.getOldestTime(), cache.getLastestTime()) == (time(20), time(40))
    assert cache.getLast().name == "40"
