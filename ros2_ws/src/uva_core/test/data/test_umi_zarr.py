# SPDX-License-Identifier: Apache-2.0
import shutil

import numpy as np
import pytest
import zarr

from uva_core import poses
from uva_core.data.readers import umi_zarr


@pytest.fixture
def root(umi_zarr_path):
    return zarr.open_group(str(umi_zarr_path), mode="r+")


def test_what_was_written_is_read(umi_zarr_path, demonstrations):
    data = umi_zarr.read(umi_zarr_path)
    assert data.rate_hz == 10.0
    assert data.episode_ends.tolist() == [20, 50]
    for name in ("pose", "gripper_width", "actions", "expert_actions"):
        np.testing.assert_allclose(getattr(data, name), getattr(demonstrations, name), atol=1e-7)
    assert (data.is_expert == demonstrations.is_expert).all()
    assert (data.images[18:22] == demonstrations.images[18:22]).all()
    assert (data.wrist_images, data.state, data.text) == (None, None, None)


def test_data_without_actions_takes_the_next_pose_for_the_action(root, umi_zarr_path):
    for key in ("action", "expert_action", "is_expert"):
        del root[f"data/{key}"]
    del root.attrs["rate_hz"]
    data = umi_zarr.read(umi_zarr_path)
    assert data.rate_hz == umi_zarr.UMI_RATE_HZ
    assert data.actions[[3, 18, 19, 20], 0] == pytest.approx([0.04, 0.19, 0.19, 0.01])
    assert data.expert_actions is data.actions
    assert data.is_expert.all()


def test_wrist_frames_states_and_text_are_read_where_they_are(root, umi_zarr_path):
    wrist = np.random.default_rng(1).integers(0, 255, (50, 32, 32, 3), dtype=np.uint8)
    root["data/camera1_rgb"] = wrist
    root["data/state"] = np.arange(100.0).reshape(50, 2)
    root["meta/episode_text"] = np.eye(2, 8)
    data = umi_zarr.read(umi_zarr_path)
    assert (data.wrist_images[:] == wrist).all()
    assert data.state[49].tolist() == [98, 99]
    assert data.text[1].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]


def test_a_zip_is_read_like_a_folder(umi_zarr_path, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "toy.zarr"), "zip", umi_zarr_path)
    assert (umi_zarr.read(archive).pose == umi_zarr.read(umi_zarr_path).pose).all()


def test_a_path_that_is_no_store_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="make some with"):
        umi_zarr.read(tmp_path / "nothing.zarr")
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "text.zarr.zip").write_text("no zip")
    for name in ("folder.zarr", "text.zarr.zip"):
        with pytest.raises(ValueError, match=f"{name} is no zarr group"):
            umi_zarr.read(tmp_path / name)


def test_every_missing_key_is_named(root, umi_zarr_path):
    del root["data/robot0_eef_pos"], root["meta/episode_ends"]
    with pytest.raises(ValueError, match="UMI layout: data/robot0_eef_pos, meta/episode_ends missing"):
        umi_zarr.read(umi_zarr_path)


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        ("meta/episode_ends", np.array([20, 60]), "ends at step 60, but there are 50 poses"),
        ("meta/episode_ends", np.array([], int), "do not ascend"),
        ("data/action", np.zeros((50, 3)), "toy.zarr: "),
        ("data/action", np.full((50, 7), np.nan), "actions is not finite in 50 of 50 rows"),
        ("data/robot0_eef_pos", np.zeros((40, 3)), "toy.zarr: "),
        ("data/camera0_rgb", np.zeros((50, 64, 64), np.uint8), "images has shape"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused_with_the_path(root, umi_zarr_path, key, values, message):
    del root[key]
    root[key] = values
    with pytest.raises(ValueError, match=message) as refusal:
        umi_zarr.read(umi_zarr_path)
    assert str(umi_zarr_path) in str(refusal.value)


def test_actions_are_poses_in_the_base_frame(root, umi_zarr_path):
    turn = np.array([0.1, 0.2, 0.3, 0.4, -0.5, 0.6, 0.03])
    root["data/action"] = np.tile(turn, (50, 1))
    pose, width = poses.decode(umi_zarr.read(umi_zarr_path).actions)
    np.testing.assert_allclose(pose[4], poses.from_vector(turn[:6]), atol=1e-9)
    assert width[4] == 0.03
