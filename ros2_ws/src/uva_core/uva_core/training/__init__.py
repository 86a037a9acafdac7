# SPDX-License-Identifier: Apache-2.0
"""Training of the tokenizer and of the network. May import everything in uva_core except official."""
