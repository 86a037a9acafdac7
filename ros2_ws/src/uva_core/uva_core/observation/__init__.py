# SPDX-License-Identifier: Apache-2.0
"""Stamped sensor data to an observation. Imports the vocabulary only; everybody above the network may import it."""
