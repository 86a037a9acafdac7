# SPDX-License-Identifier: Apache-2.0
"""The safety rules and the checks of chunks. Imports `geometry`; `motion` and `control` import it."""
