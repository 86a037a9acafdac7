# SPDX-License-Identifier: Apache-2.0
"""The names that the demo uses of the stack."""

CAMERA = "/camera/image_raw"
EEF_POSE = "/x5/eef_pose"
JOINT_STATES = "/x5/joint_states"
DRIVER_STATUS = "/x5/status"
WORLD_STATE = "/sim/world_state"
ACTION_CHUNK = "/uva/action_chunk"
DIVERGENCE = "/uva/divergence"
DIAGNOSTICS = "/diagnostics"

ENABLE = "/x5/enable"
STOP = "/x5/stop"
RESET = "/sim/reset"

# In the order in which data flows: what is silent first is the reason for what is silent later.
FLOW = (WORLD_STATE, CAMERA, JOINT_STATES, EEF_POSE, DRIVER_STATUS, ACTION_CHUNK)
