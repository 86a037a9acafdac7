# SPDX-License-Identifier: Apache-2.0
"""The model is the SDK's arm, and the inverse kinematics reaches the whole table."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from arx_x5_sim.world.arm import EEF_HEIGHT_M, JOINT_MAX_RAD, JOINT_MIN_RAD
from arx_x5_sim.world.kinematics import MujocoKinematics
from arx_x5_sim.world.scene import build_model
from arx_x5_sim.world.urdf import sdk_urdf_path
from arx_x5_sim.world.world import HOME_GUESS_RAD, TOOL_QUATERNION


def test_forward_kinematics_equals_the_sdk_solver(model):
    sdk = pytest.importorskip("arx5_interface")
    solver = sdk.Arx5Solver(str(sdk_urdf_path()), 6, JOINT_MIN_RAD, JOINT_MAX_RAD)
    kinematics = MujocoKinematics(model)
    for joints in np.random.default_rng(0).uniform(JOINT_MIN_RAD, JOINT_MAX_RAD, size=(50, 6)):
        position, quaternion = kinematics.forward(joints)
        expected = np.asarray(solver.forward_kinematics(joints))
        turn = Rotation.from_euler("xyz", expected[3:]) * Rotation.from_quat(quaternion).inv()
        assert np.abs(position - expected[:3]).max() < 1e-4
        assert turn.magnitude() < 1e-4


def test_inverse_reaches_the_workspace(model):
    kinematics = MujocoKinematics(model)
    joints = HOME_GUESS_RAD
    for x in np.linspace(0.24, 0.56, 9):
        for y in np.linspace(-0.2, 0.2, 9):
            target = np.array([x, y, EEF_HEIGHT_M])
            joints, reached = kinematics.inverse(target, TOOL_QUATERNION, joints)
            assert reached, (x, y)
            assert np.abs(kinematics.forward(joints)[0] - target).max() < 2e-4


def test_inverse_says_when_a_pose_is_out_of_reach(model):
    joints, reached = MujocoKinematics(model).inverse(np.array([1.5, 0.0, 0.1]), TOOL_QUATERNION, HOME_GUESS_RAD)
    assert not reached
    assert (joints >= JOINT_MIN_RAD).all()
    assert (joints <= JOINT_MAX_RAD).all()


def test_unknown_arm_model_is_named():
    with pytest.raises(FileNotFoundError, match="no URDF of arm model 'X9'"):
        build_model(arm_model="X9")
