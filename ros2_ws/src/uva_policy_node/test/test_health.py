# SPDX-License-Identifier: Apache-2.0
"""What diagnostics say about inputs and inference, without a node."""

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.logging import get_logger

from uva_policy_node import health as module
from uva_policy_node.health import Health
from uva_policy_node.parameters import PolicyParameters

VALUES = {"mask_mode": "policy"}
STAGE_S = {"inference": 0.05}


@pytest.fixture
def clock(monkeypatch):
    """Return a clock at `now` that only the test moves."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def health(clock) -> Health:
    """Return one that allows 1.0 s + 1 / 5 Hz without a publication."""
    return Health(get_logger("health"), PolicyParameters(rate_hz=5.0, observation_timeout_s=1.0))


def report(health, silent=(), active=True):
    return health.report(VALUES, silent, active=active)


def test_all_is_well_at_first_and_while_something_is_published(health, clock):
    assert report(health)[:2] == (DiagnosticStatus.OK, "mask mode 'policy'")
    for _ in range(10):
        clock.now += 1.1
        health.published(STAGE_S)
        assert report(health)[0] == DiagnosticStatus.OK


@pytest.mark.parametrize(
    ("event", "level", "text"),
    [
        (
            lambda health: health.dropped(ValueError("bad pose")),
            DiagnosticStatus.ERROR,
            "observation dropped: bad pose",
        ),
        (lambda health: health.waiting(ValueError("no image")), DiagnosticStatus.WARN, "waiting: no image"),
        (lambda health: health.inferring(), DiagnosticStatus.WARN, "an inference takes long"),
        (
            lambda health: health.failed(RuntimeError("out of memory")),
            DiagnosticStatus.ERROR,
            "inference failed: RuntimeError: out of memory",
        ),
        (lambda health: None, DiagnosticStatus.WARN, "nothing published"),
    ],
)
def test_the_reason_is_given_once_nothing_was_published_for_too_long(health, clock, event, level, text):
    event(health)
    clock.now += 1.1
    health.matched()
    assert report(health)[0] == DiagnosticStatus.OK
    clock.now += 0.2
    assert report(health)[:2] == (level, text)
    assert report(health, active=False)[0] == DiagnosticStatus.OK
    health.published(STAGE_S)
    assert report(health)[0] == DiagnosticStatus.OK


def test_silent_topics_come_before_stamps_that_do_not_match_and_these_before_other_reasons(health, clock):
    health.waiting(ValueError("no image"))
    clock.now += 1.3
    assert report(health)[:2] == (DiagnosticStatus.ERROR, "no stamps match within 0.02 s")
    silent = ["/camera/image_raw", "/x5/eef_pose"]
    assert report(health, silent)[:2] == (DiagnosticStatus.ERROR, "nothing on /camera/image_raw, /x5/eef_pose")
    assert report(health, silent, active=False)[0] == DiagnosticStatus.ERROR


def test_the_rate_is_that_of_uninterrupted_publication(health, clock):
    def rate(active=True):
        return report(health, active=active)[2].get("chunk_rate_hz")

    health.published(STAGE_S)
    assert rate() is None
    for _ in range(4):
        clock.now += 0.25
        health.published(STAGE_S)
    assert rate() == pytest.approx(4.0)
    assert rate(active=False) == 0.0
    clock.now += 2.0
    assert rate() == 0.0
    health.published(STAGE_S)  # the pause is no interval
    assert rate() is None


def test_a_switch_of_the_task_clears_the_statistics(health, clock):
    health.observed(0.002)
    health.published(STAGE_S)
    values = report(health)[2]
    assert (values["observation_ms_p50"], values["inference_ms_p95"]) == (pytest.approx(2.0), pytest.approx(50.0))
    health.switch_task()
    assert report(health)[2] == VALUES
