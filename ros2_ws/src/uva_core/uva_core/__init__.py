# SPDX-License-Identifier: Apache-2.0
"""The Unified Video Action model: one network that is policy, video model, forward and inverse dynamics."""

from uva_core.modes import MaskMode

__all__ = ["MaskMode"]
__version__ = "0.1.0"
