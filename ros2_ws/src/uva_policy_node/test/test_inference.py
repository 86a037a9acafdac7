# SPDX-License-Identifier: Apache-2.0
"""From observations to what is published, without a node."""

import threading
import time

import numpy as np
import pytest
from rclpy.logging import get_logger

from uva_core import MaskMode
from uva_policy_node.health import Health
from uva_policy_node.inference import Inference
from uva_policy_node.outputs import Counts
from uva_policy_node.parameters import PolicyParameters
from uva_policy_node.predictor import Predictor, Task

SETTINGS = PolicyParameters(rate_hz=50.0)


class Outputs:
    """Stands for the publishers."""

    def __init__(self) -> None:
        self.published = []

    def messages(self, mode, result, inference_s):
        return [result]

    def publish(self, mode, messages):
        self.published += [(mode, result.observation.stamp_s) for result in messages]


class HeldPredictor(Predictor):
    """Waits in each prediction for as long as `go_on` is not set."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def predict(self, mode, inputs, seed):
        self.begun.set()
        assert self.go_on.wait(10)
        return super().predict(mode, inputs, seed)

    def hold(self) -> None:
        self.go_on.clear()
        self.begun.clear()


@pytest.fixture
def outputs() -> Outputs:
    return Outputs()


@pytest.fixture
def inference(tiny_policy, outputs):
    predictor = HeldPredictor(tiny_policy, tiny_policy.config.sampling)
    predictor.warm_up(MaskMode.POLICY)
    health = Health(get_logger("inference"), SETTINGS)
    inference = Inference(predictor, Task(MaskMode.POLICY), outputs, Counts(), health, SETTINGS)
    inference.start()
    yield inference
    predictor.go_on.set()
    inference.stop()
    assert inference.join(10)


def observe(inference, stamp_s) -> None:
    inference.observe(stamp_s, np.zeros((8, 8, 3), np.uint8), stamp_s, np.eye(4), 0.03)


def feed(inference, until, start_s=100.0) -> float:
    """Observe at 20 Hz, faster than in real time, until something is so. Returns the last stamp."""
    for i in range(2000):
        observe(inference, start_s + 0.05 * i)
        time.sleep(0.01)
        if until():
            return start_s + 0.05 * i
    pytest.fail("nothing happened")


def test_the_newest_observation_is_worked_on(inference, outputs):
    start_s = feed(inference, lambda: outputs.published) + 0.05
    inference.predictor.hold()
    last_s = feed(inference, inference.predictor.begun.is_set, start_s)
    time.sleep(1 / SETTINGS.rate_hz)
    for later_s in (0.05, 0.1, 0.15):
        observe(inference, last_s + later_s)
    inference.predictor.go_on.set()
    deadline_s = time.monotonic() + 10
    while outputs.published[-1][1] <= last_s and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert outputs.published[-1] == (MaskMode.POLICY, pytest.approx(last_s + 0.15))


def test_a_result_for_another_task_is_thrown_away(inference, outputs):
    inference.predictor.hold()
    start_s = feed(inference, inference.predictor.begun.is_set) + 0.05
    inference.switch(Task(MaskMode.VIDEO))
    inference.predictor.go_on.set()
    feed(inference, lambda: outputs.published, start_s)
    assert {mode for mode, _ in outputs.published} == {MaskMode.VIDEO}


def test_a_result_after_the_stop_is_thrown_away_and_it_can_be_started_again(inference, outputs):
    inference.predictor.hold()
    feed(inference, inference.predictor.begun.is_set)
    inference.stop()
    assert not inference.running
    assert not inference.join(0.0)
    inference.predictor.go_on.set()
    assert inference.join(10)
    assert outputs.published == []
    inference.start()
    assert inference.running
    feed(inference, lambda: outputs.published)


def test_nothing_is_published_while_the_history_that_was_forgotten_is_not_there_again(inference, outputs):
    start_s = feed(inference, lambda: outputs.published) + 0.05
    inference.forget()
    time.sleep(0.1)  # an inference that is running may still end
    outputs.published.clear()
    observe(inference, start_s)
    time.sleep(0.1)
    assert outputs.published == []
