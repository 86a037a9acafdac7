# SPDX-License-Identifier: Apache-2.0
"""Demonstrations on disk (UMI replay buffer) and the training windows cut from them."""
