# SPDX-License-Identifier: Apache-2.0
"""Pip-only stand-in for cv_bridge; same names, subset CvBridge for the encodings that cameras use."""

from cv_bridge.core import CvBridge, CvBridgeError, cvtColorForDisplay, getCvType

__all__ = ["CvBridge", "CvBridgeError", "cvtColorForDisplay", "getCvType"]
