# SPDX-License-Identifier: Apache-2.0
"""A training step stays on the device of the batch and never waits for it.

Fake tensors know shapes and devices but no values: mixed devices, reading a value and shapes that depend on values
raise, as they would fail or wait on a GPU. `meta` stands for the GPU, because a build for CPUs alone knows no other.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from uva_core.diffusion.training import TrainingDiffusion
from uva_core.modes import MaskMode
from uva_core.network.model import Uva
from uva_core.training.batch import TrainingDraw
from uva_core.training.losses import training_losses
from uva_core.training.trainer import TrainingStep


class EverythingOn(TorchDispatchMode):
    """Fails at the first operation that makes a tensor on another device."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            assert not isinstance(leaf, torch.Tensor) or leaf.device.type == self.device, f"{func} on {leaf.device}"
        return result


@pytest.fixture
def fake_model(full_config):
    """A network on `meta`; what uses it runs on fake tensors."""
    with torch.device("meta"):
        model = Uva(full_config)
    with FakeTensorMode():
        for module in model.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                setattr(module, name, torch.nn.Parameter(torch.empty(parameter.shape, device="meta")))
        yield model


@pytest.mark.parametrize("modes", [[mode] * 2 for mode in MaskMode] + [list(MaskMode) * 2], ids=lambda m: m[0].value)
def test_a_training_step_stays_on_its_device(fake_model, make_batch, modes):
    step = TrainingStep(fake_model, action_draws=2)
    with EverythingOn("meta"):
        step(make_batch(len(modes), "meta"), modes).total.backward()
    gradients = [p.grad for p in fake_model.parameters() if p.grad is not None]
    assert gradients
    assert {gradient.device.type for gradient in gradients} == {"meta"}


def test_what_would_wait_or_mix_devices_is_noticed(fake_model, make_batch, full_config):
    batch, modes = make_batch(2, "meta"), [MaskMode.POLICY] * 2
    draw_on_cpu = TrainingDraw.random(full_config, 2)
    diffusion = TrainingDiffusion(full_config.train_timesteps)
    with pytest.raises(Exception, match="aten._local_scalar_dense"):
        batch.history.sum().item()
    with pytest.raises(Exception, match="aten.nonzero"):
        batch.history[batch.history > 0]
    with pytest.raises(Exception, match="found at least two devices"):
        training_losses(fake_model, diffusion, batch, modes, draw_on_cpu)
    with EverythingOn("meta"), pytest.raises(AssertionError, match="on cpu"):
        batch.history.cpu()
