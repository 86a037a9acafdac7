# SPDX-License-Identifier: Apache-2.0
"""A collected store has the replay buffer's layout and depends on nothing but its seeds."""

import argparse

import numpy as np
import pytest
import zarr

from arx_x5_sim.collection.collect import main
from arx_x5_sim.collection.dataset import DatasetWriter
from arx_x5_sim.collection.episodes import STILL_STEPS
from arx_x5_sim.collection.options import count, natural, parse_seeds
from arx_x5_sim.collection.seeds import check_train_seeds

ROW_SHAPES = {
    "camera0_rgb": (128, 128, 3),
    "robot0_eef_pos": (3,),
    "robot0_eef_rot_axis_angle": (3,),
    "robot0_gripper_width": (1,),
    "robot0_demo_start_pose": (6,),
    "robot0_demo_end_pose": (6,),
    "action": (7,),
    "expert_action": (7,),
    "is_expert": (),
    "block_pose": (2, 3),
    "square_position": (2, 2),
}


def _collect(path, workers):
    arguments = ["--out", str(path), "--demonstrations", "2", "--play", "1", "--workers", str(workers)]
    assert main(arguments) == 0


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "push.zarr"
    _collect(path, workers=1)
    return path, zarr.open_group(str(path), mode="r")


def test_layout(store):
    path, root = store
    ends = root["meta/episode_ends"][:]
    assert {key: array.shape[1:] for key, array in root["data"].arrays()} == ROW_SHAPES
    assert {array.shape[0] for _, array in root["data"].arrays()} == {ends[-1]}
    assert (path / ".zgroup").is_file(), "Zarr format 2"
    assert root.attrs["rate_hz"] == 10
    assert root["data/camera0_rgb"].dtype == np.uint8
    assert root["data/action"].dtype == np.float32
    assert root["meta/episode_seed"][:].tolist() == [0, 1, 2]
    assert root["meta/episode_is_play"][:].tolist() == [False, False, True]


def test_rows_are_observations_before_actions(store):
    _, root = store
    end = root["meta/episode_ends"][0]
    position, action = root["data/robot0_eef_pos"][:end], root["data/action"][:end, :3]
    assert np.median(np.linalg.norm(position[1:] - action[:-1], axis=1)) < 1e-3
    assert np.median(np.linalg.norm(position - action, axis=1)[:-STILL_STEPS]) > 4e-3
    assert root["data/is_expert"][end - STILL_STEPS : end].all()
    assert np.linalg.norm(np.diff(action[-STILL_STEPS:], axis=0), axis=1).max() < 2e-3
    assert not root["data/is_expert"][root["meta/episode_ends"][1] :].any(), "play"


def test_result_does_not_depend_on_the_workers(store, tmp_path):
    _, root = store
    _collect(tmp_path / "two.zarr", workers=2)
    other = zarr.open_group(str(tmp_path / "two.zarr"), mode="r")
    for key in ROW_SHAPES:
        np.testing.assert_array_equal(root["data"][key][:], other["data"][key][:], err_msg=key)


def test_other_seeds_than_training_ones_are_refused(tmp_path, caplog):
    out = tmp_path / "push.zarr"
    assert main(["--out", str(out), "--demonstrations", "2", "--play", "0", "--seed-start", "9999"]) == 1
    assert "not all training seeds" in caplog.text
    assert not out.exists()
    assert check_train_seeds(9_990, 10) == range(9_990, 10_000)
    with pytest.raises(ValueError, match="not all training seeds"):
        check_train_seeds(9_990, 11)


def test_nothing_to_collect_and_wrong_numbers_end_in_one_line(tmp_path, caplog, capsys):
    out = ["--out", str(tmp_path / "push.zarr")]
    assert main([*out, "--demonstrations", "0", "--play", "0"]) == 1
    assert "nothing to collect" in caplog.text
    with pytest.raises(SystemExit):
        main([*out, "--play", "-3"])
    assert "'-3': expected a number of at least 1" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_failed_collection_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="stop"), DatasetWriter(tmp_path / "push.zarr", {}):
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


def test_seeds_are_first_and_count_and_numbers_are_checked():
    assert parse_seeds("20000:100") == range(20_000, 20_100)
    for wrong in ("20000", "a:3", "5:0", "-1:4"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected first:count"):
            parse_seeds(wrong)
    assert (count("0"), natural("3")) == (0, 3)
    with pytest.raises(argparse.ArgumentTypeError, match="at least 1"):
        natural("0")
