# SPDX-License-Identifier: Apache-2.0
"""Pushing a block onto a square: scene, layout and success, expert, read-out of images, random motion."""
