# SPDX-License-Identifier: Apache-2.0
"""Import of weights published by others: read without running anything, renamed, written as a checkpoint of ours."""
