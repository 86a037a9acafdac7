# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from uva_core import poses
from uva_core.official import umi


def still(*position):
    pose = poses.from_vector(np.array([*position, 0.0, 0.0, 0.0]))
    return umi.RobotHistory(np.stack([pose, pose]), np.full(2, 0.04), pose)


def test_each_robot_is_seen_from_the_other():
    parts = umi.observation(
        [still(0.3, 0, 0), still(0.3, 0, 0)], robot0_in_robot1=poses.from_vector(np.array([0.0, 1.0, 0, 0, 0, 0]))
    )
    np.testing.assert_allclose(parts["robot0_eef_pos_wrt1"], [[0, 1, 0]] * 2, atol=1e-12)
    np.testing.assert_allclose(parts["robot1_eef_pos_wrt0"], [[0, -1, 0]] * 2, atol=1e-12)


def test_two_robots_need_to_know_how_they_stand():
    with pytest.raises(ValueError, match="base frames"):
        umi.observation([still(0, 0, 0), still(0, 0, 0)])
    with pytest.raises(ValueError, match="one or two robots, got 0"):
        umi.observation([])


def test_a_command_needs_ten_numbers_for_each_robot():
    with pytest.raises(ValueError, match="10 numbers a step are not 10 for each of 2"):
        umi.robot_command(np.zeros((4, 10)), [np.eye(4), np.eye(4)])
