# SPDX-License-Identifier: Apache-2.0
"""One description of the stack, and the programs that start it. Launch files and experiments may import it."""
