# SPDX-License-Identifier: Apache-2.0
"""Cases of the whole network: joint latents, samples and heads of every mode. Its losses follow in `losses`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from uva_core.diffusion.denoising import reverse_step, sample
from uva_core.diffusion.schedule import Schedule, make_schedule
from uva_core.modes import RULES, MaskMode
from uva_core.network.inputs import ModelInputs
from uva_core.network.model import Uva
from uva_core.official import names as official
from uva_core.official.parity.case import Case
from uva_core.policy.generation import generate_video, sample_sequence
from uva_core.policy.noise import RowNoise, take

Results = Iterator[tuple[str, Tensor]]
VIDEO_MODES = (MaskMode.VIDEO, MaskMode.FORWARD_DYNAMICS, MaskMode.POLICY_PLANNER)
ACTION_MODES = (MaskMode.POLICY, MaskMode.INVERSE_DYNAMICS)
WRIST_NAMES = ("wrist", "wrist_video", "video_wrist")


@dataclass(frozen=True)
class RecordedMode:
    """A mode as a case records it: with everything that the model takes, or without the past actions."""

    mode: MaskMode
    past_actions: bool = True

    @property
    def name(self) -> str:
        """What the names of its outputs start with."""
        return RULES[self.mode].official_name + ("" if self.past_actions else "_no_history")


class NetworkCase:
    """A case's network with the recorded inputs and noise."""

    def __init__(self, case: Case) -> None:
        """Build the network from the constructor arguments and load its weights.

        Raises:
            ValueError: the arguments ask for what this network does not have.
        """
        self.case = case
        self.batch: int = case.about["batch"]
        self.config = official.model_config(case.constructor)
        self.model = Uva(self.config).eval()
        self.model.load_state_dict(official.our_tensors(case.weights, self.config))
        self.z: dict[RecordedMode, Tensor] = {}  # joint latents of the first generation iteration
        self.task: str = case.constructor["task_name"]
        sampling = case.about["sampling"]
        self.temperature: float = sampling["temperature"]
        self.iterations: list[int] = sampling["generation_iterations"]
        steps = self.config.train_timesteps
        self.video_schedule = make_schedule("ddpm", steps, len(sampling["video_timesteps_in_order_taken"]))
        self.action_schedule = make_schedule("ddpm", steps, len(sampling["action_timesteps_in_order_taken"]), clip=1.0)

    @torch.no_grad()
    def results(self) -> Results:
        """Compute what such a case can record beside losses."""
        for mode in self.modes():
            yield from self._latents(mode)
        for mode in self.modes(*ACTION_MODES):
            yield from self._actions(mode)
        for mode in self.modes(*VIDEO_MODES):
            for iterations in self.iterations:
                yield from self._generation(mode, iterations)
        yield from self._heads()

    def modes(self, *wanted: MaskMode) -> list[RecordedMode]:
        """Return the modes `wanted` (default: all), then the same without past actions if the model takes them."""
        modes = [RecordedMode(mode) for mode in wanted or MaskMode]
        return modes + [RecordedMode(m.mode, past_actions=False) for m in modes if self.config.past_actions]

    def inputs(self, recorded: RecordedMode) -> ModelInputs:
        """Return what the network is given in the first generation iteration."""
        case, c, rule = self.case, self.config, RULES[recorded.mode]
        inputs = ModelInputs(
            history=case["inputs/cond"],
            past_actions=self._past_actions() if c.past_actions and recorded.past_actions else None,
            proprioception=self._state() if c.proprioception_dim else None,
            wrist_history=self.wrist_latents("second_image_z") if c.wrist_history else None,
            text=case.get("inputs/text_latents") if c.text_dim else None,
        )
        if rule.actions_given:
            inputs.actions = case["inputs/actions"]
        if rule.future_given:
            inputs.future, inputs.wrist_future = case["inputs/x"], self.wrist_latents("pred_second_image_z")
        if not rule.history_given:
            inputs.history_missing = torch.ones(self.batch, dtype=torch.bool)
        return inputs

    def _past_actions(self) -> Tensor | None:
        known = ("inputs/actions", "inputs/proprio/")
        names = [n for n in sorted(self.case.tensors) if n.startswith("inputs/") and not n.startswith(known)]
        return next((self.case[name] for name in names if "action" in name), None)

    def wrist_latents(self, name: str) -> Tensor | None:
        """Return latents of the wrist camera; where a case records tokens, those put back into frames."""
        recorded = self.case.get(f"inputs/proprio/{name}")
        tokens = recorded is not None and recorded.ndim == 4
        return self.model.unpatchify(recorded.flatten(1, 2)) if recorded is not None and tokens else recorded

    def _state(self) -> Tensor:
        return torch.cat([self.case[f"inputs/proprio/{key}"] for key in official.state_parts(self.task)], dim=-1)

    def records(self, prefix: str) -> bool:
        """Tell whether the case has outputs below `prefix`."""
        return any(name.startswith(f"{prefix}/") for name in self.case.outputs)

    def probe(self, z: Tensor) -> Tensor:
        """Return the recorded rows of joint latents."""
        return z[:, self.case["probe/tokens"].long()]

    def _noise(self, *words: str) -> RowNoise:
        """Return recorded noise of a video head, for the whole batch."""
        start, steps = (self.case.find("noise/", *words, end) for end in ("init", "steps"))
        if start is None or steps is None:
            raise ValueError(f"{self.case.name} records no noise for {' '.join(words)}")
        return RowNoise(start.expand(self.batch, -1, -1), steps.expand(-1, self.batch, -1, -1).transpose(0, 1))

    def _action_noise(self, iteration: int) -> RowNoise:
        return RowNoise(
            self.case["noise/action_init"][iteration], self.case["noise/action_steps"][iteration].transpose(0, 1)
        )

    def _latents(self, mode: RecordedMode) -> Results:
        name, probe = mode.name, self.case["probe/sequence"].long()
        entering = self.model.embed(self.inputs(mode))
        yield f"{name}/enc_in_probe", entering[:, probe]
        encoded = self.model.encode(entering)
        yield f"{name}/enc_out_probe", encoded[:, probe]
        z = self.z[mode] = self.model.decode(encoded)
        yield f"{name}/z", z
        yield f"{name}/z_probe", self.probe(z)

    def _sample_actions(self, z: Tensor, iteration: int, temperature: float) -> Tensor:
        noise = self._action_noise(iteration)
        return sample_sequence(self.model.action_head, z, self.action_schedule, noise, temperature)

    def _actions(self, mode: RecordedMode) -> Results:
        if self.config.action_head is None:
            return
        name, z, head = mode.name, self.z[mode], self.model.action_head
        condition = head.condition(z)
        yield f"{name}/action_cond", condition
        yield f"{name}/actions", self._sample_actions(z, 0, self.temperature)
        yield f"{name}/actions_temperature_1", self._sample_actions(z, 0, 1.0)
        noise, chain = self._action_noise(0), list[Tensor]()
        start, steps = noise.flat()
        sample(
            head.net,
            condition.flatten(0, 1),
            start,
            self.action_schedule,
            temperature=self.temperature,
            step_noise=steps,
            chain=chain,
        )
        yield f"{name}/action_chain", torch.stack(chain).unflatten(1, (self.batch, -1))

    def _generation(self, mode: RecordedMode, iterations: int) -> Results:
        name = f"{mode.name}/iter{iterations}"
        if not self.records(name):
            return
        orders = self.case["orders"].long()
        noise = self._noise("video")
        wrist = self._noise("wrist") if self.config.wrist_future else None
        steps = list(
            generate_video(
                self.model, self.inputs(mode), self.video_schedule, noise, self.temperature, orders, iterations, wrist
            )
        )
        last = steps[-1]
        # The official loop returns the wrist camera's frames where there is one; a case says which it recorded.
        is_wrist = last.wrist is not None and "wrist" in self.case.meaning(f"{name}/video")
        yield f"{name}/video", last.wrist if is_wrist and last.wrist is not None else last.video
        if last.wrist is not None:
            for label in WRIST_NAMES:
                yield f"{name}/{label}", last.wrist
        yield f"{name}/masks", torch.stack([step.masked for step in steps]).float()
        yield f"{name}/predicted", torch.stack([step.filled for step in steps]).float()
        yield f"{name}/z_last_probe", self.probe(last.z)
        if self.config.action_head:
            yield f"{name}/actions", self._sample_actions(last.z, iterations - 1, self.temperature)
        if iterations == 1:
            heads = [("video_chain_probe", self.model.video_head.net, noise)]
            if wrist is not None:
                heads += [(f"{w}_chain_probe", self.model.wrist_video_head.net, wrist) for w in WRIST_NAMES]
            for label, net, head_noise in heads:
                if f"{name}/{label}" in self.case:
                    yield f"{name}/{label}", self._chain(net, last.z, head_noise)

    def _chain(self, net: nn.Module, z: Tensor, noise: RowNoise, tokens: int = 12) -> Tensor:
        """Return the sample after each step of the first probed tokens: (steps, B, 12, C)."""
        chosen = self.case["probe/tokens"].long()[:tokens].sort().values.expand(len(z), -1)
        start, step_noise = noise.at(chosen)
        chain: list[Tensor] = []
        sample(
            net,
            take(z, chosen),
            start,
            self.video_schedule,
            temperature=self.temperature,
            step_noise=step_noise,
            chain=chain,
        )
        return torch.stack(chain).unflatten(1, (self.batch, -1))

    def _heads(self) -> Results:
        """Compute the head networks alone: one call, one reverse step from given states, guidance."""
        case, model = self.case, self.model
        nets = {"video": (model.video_head.net, self.video_schedule)}
        if self.config.wrist_future:
            nets |= {name: (model.wrist_video_head.net, self.video_schedule) for name in WRIST_NAMES}
        if self.config.action_head:
            nets["action"] = (model.action_head.net, self.action_schedule)
        if self.config.proprioception_target_dim:
            nets["proprio"] = (model.proprioception_head.net, self.action_schedule)
        for name, (net, schedule) in nets.items():
            given = f"heads/{name}_net"
            if f"{given}/x" in case:
                condition = case[f"{given}/c"]
                yield f"{given}/out", net(case[f"{given}/x"], case[f"{given}/t"], condition)
            if f"heads/{name}_step/x_t" in case:
                yield f"heads/{name}_step/x_prev", self._single_steps(f"heads/{name}_step", net, condition, schedule)
            for guided in (n for n in case.tensors if n.startswith(f"heads/{name}_cfg") and n.endswith("/z")):
                yield guided[:-1] + "out", self._guided(guided[:-2], net, schedule)
        if "heads/proprio_sample/noise_init" in case:
            noise = RowNoise(
                case["heads/proprio_sample/noise_init"], case["heads/proprio_sample/noise_steps"].transpose(0, 1)
            )
            z = self.z[RecordedMode(MaskMode.POLICY)]
            states = sample_sequence(model.proprioception_head, z, self.action_schedule, noise, self.temperature)
            yield "heads/proprio_sample/out", states

    def _single_steps(self, name: str, net: nn.Module, condition: Tensor, schedule: Schedule) -> Tensor:
        """One reverse step from each recorded state; the first axis counts from the last step taken."""
        states, noise = self.case[f"{name}/x_t"], self.case[f"{name}/noise"]
        results = []
        for step, x, n in zip(schedule.steps[::-1], states, noise, strict=True):
            output = net(x, torch.full((len(x),), step.timestep), condition[: len(x)])
            rows, _ = reverse_step(step, output, x, clip=schedule.clip, noise=n, temperature=self.temperature)
            results.append(rows)
        return torch.stack(results)

    def _guided(self, name: str, net: nn.Module, schedule: Schedule) -> Tensor:
        scale = float(name.rsplit("cfg", 1)[1])
        return sample(
            net,
            self.case[f"{name}/z"],
            torch.cat([self.case[f"{name}/noise_init"]] * 2),
            schedule,
            temperature=self.temperature,
            step_noise=self.case[f"{name}/noise_steps"],
            guidance=scale,
        )
