# SPDX-License-Identifier: Apache-2.0
"""The stack described once, and what starts it: ros2 launch, uva_bringup.run and uva_bringup.demo."""
