# SPDX-License-Identifier: Apache-2.0
"""What may be given to the network, and its streams as one list.

Letters in shapes: B batch, h frames, C latent channels, H W latent cells, N tokens per frame, T action steps,
A action size, S steps, P size of the robot state, E size of the language latent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from uva_core.network.config import ModelConfig


@dataclass
class ModelInputs:
    """What may be given to the network. `None` or a missing flag means: not given, a learned token stands in.

    Attributes:
        history: (B, h, C, H, W) scaled latents of the history frames.
        future: (B, h, C, H, W) scaled latents of the future frames.
        future_missing: (B, N) bool, True where the future position is hidden (same in all frames).
        history_missing: (B,) bool, True where the whole history is hidden.
        actions: (B, T, A) normalized future actions.
        actions_missing: (B,) bool.
        past_actions: (B, T, A) normalized actions before the present.
        past_actions_missing: (B, T) bool.
        proprioception: (B, S, P) normalized robot state.
        wrist_history: (B, h, C, H, W) scaled latents of the second camera's history frames.
        wrist_future: (B, h, C, H, W) its future frames; hidden where `future` is.
        text: (B, E) language latent.
        text_missing: (B,) bool, True where a learned vector replaces it.
    """

    history: Tensor
    future: Tensor | None = None
    future_missing: Tensor | None = None
    history_missing: Tensor | None = None
    actions: Tensor | None = None
    actions_missing: Tensor | None = None
    past_actions: Tensor | None = None
    past_actions_missing: Tensor | None = None
    proprioception: Tensor | None = None
    wrist_history: Tensor | None = None
    wrist_future: Tensor | None = None
    text: Tensor | None = None
    text_missing: Tensor | None = None

    def expand(self, count: int) -> ModelInputs:
        """Return the inputs of one sample as those of `count` equal ones, without copying."""
        shared: dict[str, Any] = {n: v if v is None else v.expand(count, *v.shape[1:]) for n, v in vars(self).items()}
        return ModelInputs(**shared)


@dataclass(frozen=True)
class Stream:
    """One input of the network at every position; a new modality is one line in `STREAMS`.

    Attributes:
        name: its field in `ModelInputs`.
        description: for messages.
        projection: name of the layer that takes it to the width of the network.
        taken: whether a configuration has it.
        frames: it is frames (B, h, C, H, W); otherwise steps (B, S, ...).
        missing: field of `ModelInputs` that says where it is hidden: (B,), steps (B, S) or positions (B, N).
        token: name of the learned token that stands in; the stream may then be None, which is: hidden everywhere.
    """

    name: str
    description: str
    projection: str
    taken: Callable[[ModelConfig], bool] = lambda c: True
    frames: bool = False
    missing: str | None = None
    token: str | None = None


# fmt: off
STREAMS = (
    Stream("future", "future frames", "future_proj", frames=True,
           missing="future_missing", token="missing_frame"),
    Stream("wrist_future", "future frames of a wrist camera", "wrist_future_proj", lambda c: c.wrist_future,
           frames=True, missing="future_missing", token="missing_wrist_frame"),
    Stream("history", "history frames", "history_proj", frames=True,
           missing="history_missing", token="missing_frame"),
    Stream("past_actions", "past actions", "past_action_proj", lambda c: c.past_actions,
           missing="past_actions_missing", token="missing_past_action"),
    Stream("actions", "actions", "action_proj",
           missing="actions_missing", token="missing_action"),
    Stream("wrist_history", "frames of a wrist camera", "wrist_history_proj", lambda c: c.wrist_history, frames=True),
    Stream("proprioception", "proprioception", "proprioception_proj", lambda c: c.proprioception_dim > 0),
)
# fmt: on
