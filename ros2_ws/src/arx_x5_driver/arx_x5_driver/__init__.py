# SPDX-License-Identifier: Apache-2.0
"""Driver of the ARX X5: executes chunks of end effector poses in true time, safely, at 200 Hz.

Everything that decides about motion is plain Python without ROS, threads or a clock of its own (`geometry`, `rules`,
`motion`, and the controller in `control`). The rest of `control` connects it to a thread and an `Arm`, `node` to ROS.
"""
