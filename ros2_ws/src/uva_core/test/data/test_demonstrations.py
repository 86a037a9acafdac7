# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest


def test_steps_know_their_episode(demonstrations):
    assert len(demonstrations) == 50
    assert demonstrations.episode[[0, 19, 20, 49]].tolist() == [0, 0, 1, 1]
    assert demonstrations.episode_start[[0, 19, 20, 49]].tolist() == [0, 0, 20, 20]
    assert demonstrations.episode_last[[0, 19, 20, 49]].tolist() == [19, 19, 49, 49]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate_hz": 0.0}, "0.0 steps a second are no rate"),
        ({"rate_hz": float("nan")}, "nan steps a second"),
        ({"episode_ends": np.array([], int)}, "do not ascend"),
        ({"episode_ends": np.array([30, 20, 50])}, "do not ascend"),
        ({"episode_ends": np.array([20, 51])}, "ends at step 51, but there are 50 poses"),
        ({"gripper_width": np.zeros((50, 1))}, r"gripper_width has shape \(50, 1\), not \(50\)"),
        ({"actions": np.zeros((50, 7))}, r"actions has shape \(50, 7\), not \(50, 10\)"),
        ({"images": np.zeros((49, 8, 8, 3), np.uint8)}, r"images has shape \(49, .*not \(50, any, any, 3\)"),
        ({"images": np.zeros((50, 8, 8, 3))}, "images are float64, not uint8"),
        ({"wrist_images": np.zeros((50, 8, 8), np.uint8)}, "wrist_images has shape"),
        ({"text": np.zeros((3, 512))}, r"text has shape \(3, 512\), not \(2, any\)"),
        ({"state": np.full((50, 2), np.inf)}, "state is not finite in 50 of 50 rows, first in row 0"),
    ],
)
def test_data_that_do_not_fit_together_are_refused(demonstrations, change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(demonstrations, **change)


def test_a_number_that_is_not_finite_is_named_with_its_row(demonstrations):
    demonstrations.pose[7, 0, 3] = np.nan
    with pytest.raises(ValueError, match="pose is not finite in 1 of 50 rows, first in row 7"):
        dataclasses.replace(demonstrations)
