# SPDX-License-Identifier: Apache-2.0
"""Pushing episodes of the simulated arm over real DDS, recorded and reported. Nothing may import it."""
