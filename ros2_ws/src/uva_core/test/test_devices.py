# SPDX-License-Identifier: Apache-2.0
"""The five calls with the model on another device than the observations, without a GPU.

Fake tensors compute shapes and devices only. Mixed devices raise, and so does whatever would wait for a device: a
tensor turned into a number, or a shape that depends on data. The two ends of each call are replaced, because real
arrays enter there and leave there.
"""

import dataclasses

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from uva_core import devices, images, presets
from uva_core.actions import ActionSequence
from uva_core.config import UvaConfig
from uva_core.diffusion.config import SAMPLERS
from uva_core.modes import MaskMode
from uva_core.policy import decoding
from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import from_dict

DEVICE = "meta"


@pytest.fixture
def border(monkeypatch):
    """Leave the device as an array of zeros, once for each call: how often is returned."""
    crossings = []

    def to_host(tensor):
        assert tensor.device.type == DEVICE
        crossings.append(tuple(tensor.shape))
        kind = np.uint8 if tensor.dtype == torch.uint8 else np.float64
        return np.ones(tuple(tensor.shape), kind)

    for module in (decoding, images, devices):
        monkeypatch.setattr(module, "to_host", to_host)
    return crossings


def five_calls(policy, sampling):
    """Run all five jobs with two samples, and return what came out."""
    observation = policy.blank_observation()
    pair, seeds = [observation, observation], [0, 1]
    c = policy.config.model
    candidate = ActionSequence(np.ones((c.action_steps, c.action_dim)))
    wrist = [observation.frames] * 2 if c.wrist_future else None
    return {
        MaskMode.POLICY: policy.predict_actions(pair, seeds, sampling),
        MaskMode.VIDEO: policy.predict_video(pair, seeds, sampling, iterations=3),
        MaskMode.FORWARD_DYNAMICS: policy.predict_forward(observation, [candidate] * 2, seeds, sampling, frames=[3]),
        MaskMode.INVERSE_DYNAMICS: policy.predict_inverse(pair, [observation.frames] * 2, seeds, sampling, wrist),
        MaskMode.POLICY_PLANNER: policy.predict_joint(pair, seeds, sampling, iterations=2),
    }


def on_another_device(config: UvaConfig, dtype: torch.dtype) -> UvaPolicy:
    with torch.device(DEVICE):
        policy = UvaPolicy(dataclasses.replace(config, trained_modes=()))
    return policy.to(DEVICE, dtype)


@pytest.mark.parametrize("preset", ["uva_tiny", "umi_multitask"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_five_calls_stay_on_the_models_device(border, preset, dtype):
    config = from_dict(UvaConfig, presets.load(preset)["config"])
    policy = on_another_device(config, dtype)
    with FakeTensorMode(allow_non_fake_inputs=True):
        results = five_calls(policy, dataclasses.replace(config.sampling, action_steps=3, video_steps=2))
    assert set(results) == set(MaskMode)
    # One copy to the host for each kind of result, and the joint call has two.
    assert len(border) == 6


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_sampler_waits_for_the_device(border, tiny_config, sampler):
    sampling = dataclasses.replace(tiny_config.sampling, sampler=sampler, action_steps=4, video_steps=4)
    policy = on_another_device(tiny_config, torch.float32)
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert len(five_calls(policy, sampling)) == 5


def test_a_hidden_wait_or_a_mixed_device_would_raise():
    with FakeTensorMode(allow_non_fake_inputs=True):
        there = torch.ones(2, device=DEVICE)
        with pytest.raises(Exception, match="_local_scalar_dense"):
            float(there.sum())
        with pytest.raises(Exception, match="[Dd]evice"):
            there + torch.ones(2)


def test_half_precision_predicts_about_the_same(tiny_config, observation, tmp_path):
    torch.manual_seed(0)
    full = UvaPolicy(tiny_config)
    full.save(tmp_path / "policy.safetensors")
    half = UvaPolicy.load(tmp_path / "policy.safetensors", device="cpu", dtype=torch.bfloat16)
    assert half.action_normalizer.scale.dtype == torch.float32
    assert half.device == torch.device("cpu")
    (exact,), (rounded,) = (policy.predict_actions([observation], [0]) for policy in (full, half))
    np.testing.assert_allclose(rounded.vectors, exact.vectors, atol=0.05)
    (frames,) = half.predict_video([observation], [0])
    assert frames.frames.dtype == np.uint8
