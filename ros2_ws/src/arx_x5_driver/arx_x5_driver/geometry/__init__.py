# SPDX-License-Identifier: Apache-2.0
"""Geometry of the arm: poses, kinematics, body and limits. All may import it; it imports no sub-package."""
