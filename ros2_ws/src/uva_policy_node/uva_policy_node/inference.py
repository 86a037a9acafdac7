# SPDX-License-Identifier: Apache-2.0
"""Run the model in a thread of its own, from the observation buffer to the publishers."""

from __future__ import annotations

import contextlib
import threading
import time

import numpy as np
from numpy.typing import NDArray

from uva_core import MaskMode, images
from uva_core.actions import ActionSequence
from uva_core.observation.buffer import ObservationNotReadyError
from uva_policy_node.divergence import Expectations
from uva_policy_node.health import Health
from uva_policy_node.outputs import Counts, Outputs
from uva_policy_node.parameters import PolicyParameters
from uva_policy_node.predictor import Predictor, Task
from uva_policy_node.worker import Worker


class Inference:
    """Own the task, the observation buffer and the thread that runs the model.

    Data flows one way: `observe` fills the buffer in the executor's thread; the worker's thread takes what the task
    needs from the buffer, runs the model, and publishes the result. It always works on the newest observation.
    """

    def __init__(
        self,
        predictor: Predictor,
        task: Task,
        outputs: Outputs,
        counts: Counts,
        health: Health,
        settings: PolicyParameters,
    ) -> None:
        """Make an empty buffer; nothing runs before `start`."""
        self.predictor = predictor
        self.query: ActionSequence | None = None
        """Actions whose effect `forward_dynamics` predicts; None: the policy's own."""
        self._task, self._outputs, self._counts = task, outputs, counts
        self._health, self._settings = health, settings
        self._lock = threading.Lock()  # guards the buffer and the expectations
        self._buffer = predictor.policy.make_buffer()
        self._expectations = Expectations()
        self._worker: Worker | None = None  # the last one, which may have been stopped
        self._started_s = 0.0  # of the last inference

    @property
    def task(self) -> Task:
        """What the model has to do."""
        return self._task

    @property
    def running(self) -> bool:
        """Whether it has been started and not stopped."""
        return self._worker is not None and not self._worker.stopped

    def start(self) -> None:
        """Begin with an empty history."""
        self.forget()
        self._started_s = 0.0
        self._worker = Worker(self._infer, self._health.failed)

    def stop(self) -> None:
        """Publish nothing any more. A running inference goes on, and its result is thrown away."""
        if self._worker is not None:
            self._worker.stop()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of the thread after `stop`. Return whether it has ended in time."""
        return self._worker is None or self._worker.join(timeout_s)

    def switch(self, task: Task) -> None:
        """Set the task from the next inference on. The result of a running one is thrown away."""
        # Not while a result is being published.
        with self._worker.gate if self._worker else contextlib.nullcontext(), self._lock:
            self._task = task
            self._expectations.clear()

    def forget(self) -> None:
        """Clear the history."""
        with self._lock:
            self._buffer.clear()
            self._expectations.clear()

    def observe(
        self,
        image_s: float,
        picture: NDArray[np.uint8],
        pose_s: float,
        eef_pose: NDArray[np.float64],
        gripper_width: float,
    ) -> None:
        """Take an RGB image (H, W, 3), an EEF pose (4, 4) and a width [m] with their stamps [s]; infer when due.

        Raises:
            ValueError: the image cannot be used.
        """
        with self._lock:
            self._buffer.add_pose(pose_s, eef_pose, gripper_width)
            added = self._buffer.add_image(image_s, picture)
        # A little early is on time: images come at their own rate.
        due = time.monotonic() - self._started_s > 0.9 / self._settings.rate_hz
        if added and due and self._worker is not None:
            self._worker.request()

    # In the worker's thread

    def _infer(self, worker: Worker) -> None:
        task, predictor = self._task, self.predictor
        self._started_s = time.monotonic()
        predictor.warm_up(task.mode)  # first, so that the observation is not old when its inference begins
        try:
            with self._lock:
                inputs = predictor.inputs(task, self._buffer, self.query)
        except ObservationNotReadyError as reason:
            self._health.waiting(reason)
            return
        self._health.inferring()
        seed = self._settings.seed + self._counts.inferences * self._settings.candidates
        started = time.perf_counter()
        result = predictor.predict(task.mode, inputs, seed)
        inference_s = time.perf_counter() - started
        messages = self._outputs.messages(task.mode, result, inference_s)
        self._counts.inferences += 1
        with worker.gate:
            # The task may have changed meanwhile, and the new mode may be one that moves nothing.
            if not worker.stopped and self._task is task:
                self._outputs.publish(task.mode, messages)
                self._health.published({**result.stage_s, "inference": inference_s})
                # Only the effect of a chunk that this node has chosen is known in advance.
                if result.video and task.mode is MaskMode.POLICY_PLANNER and not self._settings.planner:
                    with self._lock:
                        self._expectations.add(result.observation.stamp_s, result.video)
        self._compare(worker)

    def _compare(self, worker: Worker) -> None:
        """Publish how far the newest frame that was predicted for a time by now is from the one seen then."""
        with self._lock:
            expected = self._expectations.take_due(self._buffer.newest_s)
            if expected is None:
                return
            try:
                seen = self._buffer.frames_at([expected.due_s])
            except ObservationNotReadyError:  # no image came at that time
                return
        divergence = expected.divergence(images.to_uint8(seen[0]))
        with worker.gate:
            if not worker.stopped:
                self._outputs.publish_divergence(divergence)
