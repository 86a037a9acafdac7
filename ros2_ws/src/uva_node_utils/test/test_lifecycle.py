# SPDX-License-Identifier: Apache-2.0
"""Nodes that start by themselves, seen from inside."""

import pytest
from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock

from uva_node_utils.lifecycle import AutostartLifecycleNode, StartupError


class Recorder(AutostartLifecycleNode):
    """Records its transitions and fails in one of them if told so."""

    def __init__(self, context, *, autostart=True, failing_transition="", error=None) -> None:
        super().__init__("recorder", context=context, parameter_overrides=[Parameter("autostart", value=autostart)])
        self.transitions: list[str] = []
        self.failing_transition = failing_transition
        self._error = error or StartupError("no such file: model.safetensors")

    def _record(self, name):
        self.transitions.append(name)
        if name == self.failing_transition:
            raise self._error
        return TransitionCallbackReturn.SUCCESS

    def on_configure(self, state):
        return self._record("configure")

    def on_activate(self, state):
        super().on_activate(state)
        return self._record("activate")

    def on_deactivate(self, state):
        super().on_deactivate(state)
        return self._record("deactivate")

    def on_cleanup(self, state):
        return self._record("cleanup")


@pytest.fixture
def make_recorder(context, executor):
    nodes = []

    def make(**kwargs) -> Recorder:
        node = Recorder(context, **kwargs)
        nodes.append(node)
        executor.add_node(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()


def spin(executor, done, timeout_s=5.0):
    for _ in range(int(timeout_s / 0.05)):
        if done():
            return
        executor.spin_once(timeout_sec=0.05)
    pytest.fail(f"nothing happened within {timeout_s} s")


def test_starts_once_it_is_spun(make_recorder, executor):
    node = make_recorder()
    assert node.state_name == "unconfigured"
    spin(executor, lambda: node.state_name == "active")
    for _ in range(3):
        executor.spin_once(timeout_sec=0.01)
    assert node.transitions == ["configure", "activate"]


def test_waits_when_autostart_is_off(make_recorder, executor):
    node = make_recorder(autostart=False)
    for _ in range(3):
        executor.spin_once(timeout_sec=0.01)
    assert node.transitions == []
    node.autostart()
    assert node.state_name == "active"


def test_winds_down_from_wherever_it_is(make_recorder):
    node = make_recorder(autostart=False)
    node.wind_down()
    assert node.transitions == []
    node.trigger_configure()
    node.wind_down()
    node.autostart()
    node.wind_down()
    assert node.transitions == ["configure", "cleanup", "configure", "activate", "deactivate", "cleanup"]
    assert node.state_name == "unconfigured"


@pytest.mark.parametrize(("failing_transition", "state"), [("configure", "unconfigured"), ("activate", "inactive")])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (StartupError("no such file: model.safetensors"), "no such file: model.safetensors"),
        (KeyError("oops"), "KeyError: 'oops'"),
    ],
)
def test_a_node_that_cannot_start_says_why(make_recorder, executor, failing_transition, state, error, message):
    node = make_recorder(failing_transition=failing_transition, error=error)
    spin(executor, lambda: node.startup_error is not None)
    assert str(node.startup_error) == message
    # rclpy takes a node back to the start after an error that is no refusal.
    assert node.state_name == (state if isinstance(error, StartupError) else "unconfigured")


def test_an_explicit_autostart_raises(make_recorder):
    node = make_recorder(autostart=False, failing_transition="configure")
    with pytest.raises(StartupError, match=r"no such file: model\.safetensors"):
        node.autostart()


@pytest.mark.system
def test_a_manager_gets_a_failure_and_the_node_lives_on(make_recorder, executor):
    node = make_recorder(autostart=False, failing_transition="configure")
    client = node.create_client(ChangeState, "recorder/change_state")
    assert client.wait_for_service(timeout_sec=5.0)
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    first = client.call_async(request)
    spin(executor, first.done)
    assert not first.result().success
    node.failing_transition = ""
    second = client.call_async(request)
    spin(executor, second.done)
    assert second.result().success
    assert node.state_name == "inactive"


def test_a_time_before_1970_on_the_clock_is_ignored(context, executor):
    options = {"context": context, "cli_args": ["--ros-args", "-r", "/clock:=clock_of_test_lifecycle"]}
    overrides = [Parameter("use_sim_time", value=True), Parameter("autostart", value=False)]
    node = AutostartLifecycleNode("simulated", parameter_overrides=overrides, **options)
    executor.add_node(node)
    publisher = node.create_publisher(Clock, "clock_of_test_lifecycle", 1)

    def tell(sec: int) -> None:
        publisher.publish(Clock(clock=Time(sec=sec)))

    tell(7)
    spin(executor, lambda: node.get_clock().now().nanoseconds or tell(7))
    tell(-5)
    tell(-5)
    for _ in range(6):
        executor.spin_once(timeout_sec=0.05)
    assert node.get_clock().now().nanoseconds == 7 * 10**9
    node.destroy_node()


def test_autostart_is_described_and_fixed_when_the_node_starts(make_recorder):
    node = make_recorder(autostart=False)
    descriptor = node.describe_parameter("autostart")
    assert descriptor.read_only and descriptor.description
    (result,) = node.set_parameters([Parameter("autostart", value=True)])
    assert not result.successful
