# SPDX-License-Identifier: Apache-2.0
"""The network of the paper's figure. Imports the vocabulary only; policy, training and official code may import it."""
