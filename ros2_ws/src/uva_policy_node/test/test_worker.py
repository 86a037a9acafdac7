# SPDX-License-Identifier: Apache-2.0
"""Requests, delivery and failures of the worker's thread."""

import threading
import time

import pytest

from uva_policy_node.worker import Worker


def test_requests_during_a_run_lead_to_one_more_run():
    runs, entered, release = [], threading.Semaphore(0), threading.Semaphore(0)

    def job(_):
        runs.append(1)
        entered.release()
        release.acquire(timeout=5)

    worker = Worker(job, failed=pytest.fail)
    worker.request()
    assert entered.acquire(timeout=5)
    for _ in range(5):
        worker.request()
    release.release()
    assert entered.acquire(timeout=5)
    release.release()
    worker.stop()
    assert worker.join(5)
    assert len(runs) == 2


def test_stop_does_not_wait_for_a_job_whose_result_is_then_not_delivered():
    delivered, entered, release = [], threading.Event(), threading.Event()

    def deliver(worker, result):
        with worker.gate:
            if not worker.stopped:
                delivered.append(result)

    def job(worker):
        deliver(worker, "before")
        entered.set()
        release.wait(5)
        deliver(worker, "after")
        raise ValueError("of no interest any more")

    worker = Worker(job, failed=delivered.append)
    worker.request()
    assert entered.wait(5)
    worker.stop()
    assert not worker.join(0.0)
    assert worker.stopped
    release.set()
    assert worker.join(5)
    assert delivered == ["before"]


def test_a_failing_job_is_reported_and_the_worker_goes_on():
    errors, seen = [], threading.Semaphore(0)

    def job(_):
        raise ValueError("bad input")

    worker = Worker(job, failed=lambda error: (errors.append(str(error)), seen.release()))
    for _ in range(2):
        worker.request()
        assert seen.acquire(timeout=5)
    worker.stop()
    assert worker.join(5)
    assert errors == ["bad input", "bad input"]


def test_stop_waits_for_a_result_that_is_being_delivered():
    order, entered = [], threading.Event()

    def job(worker):
        with worker.gate:
            entered.set()
            time.sleep(0.2)
            order.append("delivered")

    worker = Worker(job, failed=pytest.fail)
    worker.request()
    assert entered.wait(5)
    worker.stop()
    order.append("stopped")
    assert worker.join(5)
    assert order == ["delivered", "stopped"]
