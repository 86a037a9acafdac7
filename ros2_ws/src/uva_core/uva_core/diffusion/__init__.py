# SPDX-License-Identifier: Apache-2.0
"""Noise schedule, denoising and training terms. Imports the vocabulary; policy, training and official import it."""
