# SPDX-License-Identifier: Apache-2.0
"""From chunks to commands within all limits. Imports `geometry` and `rules`; only `control` imports it."""
