# SPDX-License-Identifier: Apache-2.0
"""Training of the tokenizer and of the network, as commands with progress bar, checkpoints and resume."""
