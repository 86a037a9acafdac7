# SPDX-License-Identifier: Apache-2.0
"""Names of the topics and services that several packages use, relative to the stack's namespace. No ROS in here."""

CAMERA = "camera/image_raw"
CAMERA_INFO = "camera/camera_info"
WORLD_STATE = "sim/world_state"
RESET = "sim/reset"

JOINT_STATES = "x5/joint_states"
EEF_POSE = "x5/eef_pose"
JOINT_COMMAND = "x5/joint_command"
DRIVER_STATUS = "x5/status"
ENABLE = "x5/enable"
STOP = "x5/stop"
HOME = "x5/home"

ACTION_CHUNK = "uva/action_chunk"
CANDIDATE_CHUNKS = "uva/candidate_chunks"
ESTIMATED_ACTIONS = "uva/estimated_actions"
QUERY_CHUNK = "uva/query_chunk"
PREDICTED_IMAGE = "uva/predicted_image"
PREDICTED_STRIP = "uva/predicted_strip"
DIVERGENCE = "uva/divergence"
SET_MASK_MODE = "uva/set_mask_mode"
SET_INSTRUCTION = "uva/set_instruction"

DIAGNOSTICS = "/diagnostics"
"""The same in every namespace, as all tools expect it."""

FLOW = (WORLD_STATE, CAMERA, JOINT_STATES, EEF_POSE, DRIVER_STATUS, ACTION_CHUNK)
"""In the order in which data flows: what is silent first is the reason for what is silent later."""


def absolute(topic: str) -> str:
    """Return the name that a topic has in the root namespace, e.g. in the graph and in recordings."""
    return topic if topic.startswith("/") else f"/{topic}"
