# SPDX-License-Identifier: Apache-2.0
"""Demonstrations, and the training windows that are cut from them. May be imported by training, not by the policy."""
