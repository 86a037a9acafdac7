# SPDX-License-Identifier: Apache-2.0
"""The policy node: what it subscribes to and publishes is in the package's README."""
