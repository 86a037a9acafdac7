# SPDX-License-Identifier: Apache-2.0
"""The border between the host's arrays and a device's tensors: the only places where numbers cross it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(
    values: Tensor | NDArray, device: torch.device | str | None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Copy an array, or a tensor of another device, to `device`; the host does not wait for it."""
    return torch.as_tensor(values).to(device, dtype, non_blocking=True)


def to_host(tensor: Tensor) -> NDArray:
    """Copy a tensor to the host: waits until the device has computed it."""
    return np.asarray(tensor.detach().cpu().numpy())
