# SPDX-License-Identifier: Apache-2.0
"""The driver by itself: under faults, on a path, and what a control period costs."""
