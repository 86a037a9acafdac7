# SPDX-License-Identifier: Apache-2.0
"""What every node of the stack shares: parameters, life cycle, diagnostics, time."""
