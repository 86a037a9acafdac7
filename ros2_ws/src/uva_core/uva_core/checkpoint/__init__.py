# SPDX-License-Identifier: Apache-2.0
"""Our checkpoint files: written, read, filled into modules. Knows the vocabulary; its command knows `official`."""
