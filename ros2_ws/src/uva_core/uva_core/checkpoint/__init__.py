# SPDX-License-Identifier: Apache-2.0
"""Our checkpoint files: written, read, filled into modules. Knows the vocabulary only; everything may import it."""
