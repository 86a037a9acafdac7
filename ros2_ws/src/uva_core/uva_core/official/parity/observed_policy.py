# SPDX-License-Identifier: Apache-2.0
"""Cases of the whole policy: 8-bit images of a task's cameras in, actions in task units out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from uva_core import images
from uva_core.config import UvaConfig
from uva_core.diffusion.config import SamplingConfig
from uva_core.observation.config import ObservationConfig
from uva_core.observation.observation import Observation
from uva_core.official import names as official
from uva_core.official.parity.autoencoder import tokenizer_of
from uva_core.official.parity.case import Case
from uva_core.policy.noise import Noise
from uva_core.policy.policy import UvaPolicy

FRAMES = (3, 7, 11, 15)  # of 16 observed ones
CAMERAS = ("image", "agentview_image", "sideview_image", "camera0_rgb")
WRIST_CAMERAS = ("wrist_image", "robot0_eye_in_hand_image")
PROBE_ROWS, PROBE_COLUMNS = slice(5, None, 32), slice(7, None, 32)  # of the recorded image probe
TOKEN_STRIDE = 7


class RecordedNoise(Noise):
    """Give recorded tensors in the order in which a prediction draws them."""

    def __init__(self, tensors: list[Tensor]) -> None:
        """Each tensor (B, ...)."""
        super().__init__([])
        self._tensors = list(tensors)

    def normal(self, *shape: int) -> Tensor:
        """Return the next recorded tensor.

        Raises:
            ValueError: it has another shape than what is drawn.
        """
        tensor = self._tensors.pop(0)
        if tensor.shape[1:] != shape:
            raise ValueError(f"recorded noise of shape {tuple(tensor.shape)} where {shape} is drawn")
        return tensor


class PolicyCase:
    """A policy put together from the weights of two other cases beside this one."""

    def __init__(self, case: Case) -> None:
        """Build the policy.

        Raises:
            FileNotFoundError: the folders with the weights are missing.
        """
        self.case = case
        network = Case(self._beside(case.about["transformer_weights_from"]))
        self.task: str = case.constructor["task_name"]
        config = official.model_config(case.constructor)
        tokenizer = tokenizer_of(
            Case(self._beside(case.about["autoencoder_weights_from"])), case.constructor["img_size"]
        )
        sampling = case.about["sampling"]
        self.policy = UvaPolicy(
            UvaConfig(
                model=config,
                tokenizer=tokenizer.config,
                observation=ObservationConfig(state_space="vector", action_space="vector", smooth_actions=1),
                sampling=SamplingConfig(
                    action_steps=int(case.constructor["act_diff_testing_steps"]),
                    action_temperature=sampling["temperature"],
                ),
            )
        )
        self.policy.model.load_state_dict(official.our_tensors(network.weights, config))
        self.policy.tokenizer.load_state_dict(tokenizer.state_dict())
        if case.about["normalizer_type"] == "all":
            self.policy.action_normalizer.load_state_dict(self._normalizer(["action"]))
            if config.proprioception_dim:
                keys = list(official.state_parts(self.task))
                self.policy.proprioception_normalizer.load_state_dict(self._normalizer(keys))

    def _beside(self, name: str) -> Path:
        return self.case.folder.parent / name

    def _normalizer(self, fields: list[str]) -> dict[str, Tensor]:
        state = "normalizer/state/params_dict"
        return {
            kind: torch.cat([self.case[f"{state}.{field}.{kind}"] for field in fields]) for kind in ("scale", "offset")
        }

    def _camera(self, names: tuple[str, ...]) -> Tensor | None:
        """(B, h, 3, S, S) frames that the model uses of the first camera that the case has."""
        for name in names:
            recorded = self.case.get(f"obs/{name}")
            if recorded is not None:
                chosen = recorded if recorded.shape[1] == len(FRAMES) else recorded[:, list(FRAMES)]
                return images.prepare(chosen.movedim(2, -1), self.policy.config.tokenizer.image_size, "bilinear")
        return None

    def _observations(self) -> list[Observation]:
        case, c = self.case, self.policy.config.model
        frames, wrist = self._camera(CAMERAS), self._camera(WRIST_CAMERAS)
        if frames is None:
            raise ValueError(f"{case.name} records no camera out of: {', '.join(CAMERAS)}")
        state = None
        if c.proprioception_dim:
            state = torch.cat([case[f"obs/{key}"] for key in official.state_parts(self.task)], dim=-1)
            if state.shape[1] != c.proprioception_steps:
                state = state[:, list(FRAMES)]
        past = case.find("obs/", "past_action")
        text = next((case[n] for n in sorted(case.tensors) if "text" in n or "language" in n), None)

        def row(values: Tensor | None, index: int) -> np.ndarray | None:
            return None if values is None else values[index].double().numpy()

        return [
            Observation(
                0.0,
                frames[i],
                wrist_frames=None if wrist is None else wrist[i],
                state=row(state, i),
                past_actions=row(past, i),
                text=None if text is None else text[i],
            )
            for i in range(len(frames))
        ]

    def _noise(self, batch: int) -> list[Tensor]:
        """Noise of the posterior of each camera, of the action head's start, and of its steps."""
        case, frames = self.case, self.policy.config.model.frames
        names = [name for name in case.tensors if name.startswith("noise/") and "vae" in name]
        names.sort(key=lambda name: ("wrist" in name or "second" in name, name))
        cameras = [case[name].unflatten(0, (batch, frames)) for name in names]
        return [*cameras, case["noise/action_init"], case["noise/action_steps"].transpose(0, 1)]

    @torch.no_grad()
    def results(self) -> Iterator[tuple[str, Tensor]]:
        """Compute everything that such a case records."""
        policy, observations = self.policy, self._observations()
        batch = len(observations)
        pixels = torch.cat([o.frames for o in observations])
        yield "vae_input_probe", pixels[:, :, PROBE_ROWS, PROBE_COLUMNS]
        yield "vae_mean", policy.tokenizer.moments(pixels)[0]
        inputs = policy.encode(observations, RecordedNoise(self._noise(batch)))
        yield "cond", inputs.history
        yield "z_probe", policy.model(inputs)[:, ::TOKEN_STRIDE]
        chunks = policy.predict_actions(observations, RecordedNoise(self._noise(batch)))
        actions = torch.stack([torch.from_numpy(chunk.vectors) for chunk in chunks])
        yield "normalized_actions", policy.action_normalizer.normalize(actions)
        yield "action_pred", actions
        yield "action", actions[:, : self.case.about["n_action_steps"]]
