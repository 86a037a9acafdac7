# SPDX-License-Identifier: Apache-2.0
"""Publishes what the model answers: which topic gets what in which mask mode."""

from __future__ import annotations

from collections.abc import Callable
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
from uva_node_utils.time import seconds_to_stamp
from uva_policy_node.inference import Answer
from uva_policy_node.messages import action_chunk
from uva_policy_node.prediction_strip import strip


class Counts:
    """Sequence numbers of chunks that may move the arm, and of estimated ones."""

    def __init__(self) -> None:
        self.chunks, self.estimates = 0, 0


class Outputs:
    """The publishers, and what they send.

    Candidates and the chunk that the node chooses itself share one count, also with mode `policy`: whoever executes
    chunks takes a sequence that goes back for a stray message.
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
            counts: go on over a reconfiguration.
            config: of the model, for the times of its history.
            frame: in which poses are given.
            planner: whether another node chooses among candidates.
        """
        self._counts, self._frame, self._planner = counts, frame, planner
        self._history_s = [offset / config.rate_hz for offset in config.frame_offsets]
        self._bridge = CvBridge()
        self._chunks = publisher(ActionChunk, "uva/action_chunk")
        self._candidates = publisher(ActionChunkArray, "uva/candidate_chunks")
        self._estimates = publisher(ActionChunk, "uva/estimated_actions")
        self._images = publisher(Image, "uva/predicted_image")
        self._strips = publisher(Image, "uva/predicted_strip")
        self._divergence = publisher(Float32, "uva/divergence")

    def prepare(self, mode: MaskMode, answer: Answer, inference_s: float) -> Callable[[], None]:
        """Return what publishes the answer, with all messages already made."""
        count = self._counts.estimates if mode is MaskMode.INVERSE_DYNAMICS else self._counts.chunks
        chunks = [
            action_chunk(
                prediction,
                stamp_s=answer.observation.stamp_s,
                frame=self._frame,
                mode=mode.value,
                sequence=count,
                inference_s=inference_s,
            )
            for prediction in answer.actions
        ]
        frames = self._frame_messages(answer.observation, answer.video) if answer.video else []

        def publish() -> None:
            if mode is MaskMode.INVERSE_DYNAMICS:
                self._estimates.publish(chunks[0])
                self._counts.estimates += 1
            elif chunks:
                if mode is MaskMode.POLICY or not self._planner:
                    self._chunks.publish(chunks[0])
                if mode is MaskMode.POLICY_PLANNER:
                    self._candidates.publish(ActionChunkArray(header=chunks[0].header, chunks=chunks))
                self._counts.chunks += 1
            for publisher, message in frames:
                publisher.publish(message)

        return publish

    def publish_divergence(self, divergence: float) -> None:
        """Tell how far the world is from what was predicted, in [0, 1]."""
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
