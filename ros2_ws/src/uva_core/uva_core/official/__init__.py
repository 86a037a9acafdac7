# SPDX-License-Identifier: Apache-2.0
"""All that concerns the published code: names, data, import, parity. Only the command of `checkpoint` imports it."""
