# SPDX-License-Identifier: Apache-2.0
"""Publish what the model predicts: which topic gets what in which mask mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Float32

from cv_bridge import CvBridge
from uva_core import MaskMode, images
from uva_core.observation.config import ObservationConfig
from uva_core.observation.observation import Observation
from uva_core.policy.predictions import VideoPrediction
from uva_msgs.msg import ActionChunk, ActionChunkArray
from uva_node_utils import topics
from uva_node_utils.time import seconds_to_stamp
from uva_policy_node.messages import action_chunk
from uva_policy_node.prediction_strip import strip
from uva_policy_node.predictor import Result


@dataclass
class Counts:
    """What was done so far. It goes on over a reconfiguration.

    Attributes:
        inferences: of whatever mode.
        chunks: published ones that may move the arm; the sequence number of the next one.
        estimates: published estimates of actions; the sequence number of the next one.
    """

    inferences: int = 0
    chunks: int = 0
    estimates: int = 0


class Outputs:
    """The publishers, and what they send.

    Candidates and the chunk that the node chooses itself share one sequence, also with mode `policy`: receivers of
    chunks take a sequence that goes back for a late message.
    """

    def __init__(
        self,
        publisher: Callable[[Any, str], Any],
        counts: Counts,
        config: ObservationConfig,
        *,
        frame: str,
        planner: bool,
    ) -> None:
        """Make the publishers.

        Args:
            publisher: makes one for a message type and a topic.
            counts: where sequence numbers come from.
            config: of the model, for the times of its history.
            frame: in which poses are given.
            planner: whether another node chooses among candidates.
        """
        self._counts, self._frame, self._planner = counts, frame, planner
        self._history_s = [offset / config.rate_hz for offset in config.frame_offsets]
        self._bridge = CvBridge()
        self._chunks = publisher(ActionChunk, topics.ACTION_CHUNK)
        self._candidates = publisher(ActionChunkArray, topics.CANDIDATE_CHUNKS)
        self._estimates = publisher(ActionChunk, topics.ESTIMATED_ACTIONS)
        self._images = publisher(Image, topics.PREDICTED_IMAGE)
        self._strips = publisher(Image, topics.PREDICTED_STRIP)
        self._divergence = publisher(Float32, topics.DIVERGENCE)

    def messages(self, mode: MaskMode, result: Result, inference_s: float) -> list[tuple[Any, Any]]:
        """Return (publisher, message) for all that a result publishes, in this order."""
        inverse = mode is MaskMode.INVERSE_DYNAMICS
        chunks = [
            action_chunk(
                prediction,
                stamp_s=result.observation.stamp_s,
                frame=self._frame,
                mode=mode.value,
                sequence=self._counts.estimates if inverse else self._counts.chunks,
                inference_s=inference_s,
            )
            for prediction in result.actions
        ]
        messages: list[tuple[Any, Any]] = []
        if inverse:
            messages.append((self._estimates, chunks[0]))
        elif chunks and not (mode is MaskMode.POLICY_PLANNER and self._planner):
            messages.append((self._chunks, chunks[0]))
        if mode is MaskMode.POLICY_PLANNER:
            messages.append((self._candidates, ActionChunkArray(header=chunks[0].header, chunks=chunks)))
        if result.video:
            messages += self._frame_messages(result.observation, result.video)
        return messages

    def publish(self, mode: MaskMode, messages: list[tuple[Any, Any]]) -> None:
        """Publish what `messages` returned for this mode, and count it."""
        for publisher, message in messages:
            publisher.publish(message)
        if mode is MaskMode.INVERSE_DYNAMICS:
            self._counts.estimates += 1
        elif mode in (MaskMode.POLICY, MaskMode.POLICY_PLANNER):
            self._counts.chunks += 1

    def publish_divergence(self, divergence: float) -> None:
        """Publish how far the world is from what was predicted, in [0, 1]."""
        self._divergence.publish(Float32(data=divergence))

    def _frame_messages(self, observation: Observation, video: VideoPrediction) -> list[tuple[Any, Image]]:
        times_s = [float(seconds) for seconds in video.time_from_observation_s]
        history = images.to_uint8(observation.frames)
        picture = strip(history, self._history_s, video.frames, times_s)
        return [
            *(
                (self._images, self._image(frame, observation.stamp_s + seconds))
                for frame, seconds in zip(video.frames, times_s, strict=True)
            ),
            (self._strips, self._image(picture, observation.stamp_s)),
        ]

    def _image(self, picture: NDArray[np.uint8], stamp_s: float) -> Image:
        message = self._bridge.cv2_to_imgmsg(picture, "rgb8")
        message.header.stamp = seconds_to_stamp(stamp_s)
        return message
