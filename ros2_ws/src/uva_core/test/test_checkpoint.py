# SPDX-License-Identifier: Apache-2.0
import os
import pickle
import re

import pytest
import torch
from safetensors.torch import save_file

from uva_core.checkpoint import safetensors_file as checkpoint
from uva_core.checkpoint.safetensors_file import CheckpointError
from uva_core.policy.policy import UvaPolicy
from uva_core.serialization import to_dict


def test_a_policy_comes_back_as_it_was_saved(tmp_path, tiny_policy, observation):
    path = tmp_path / "policy.safetensors"
    tiny_policy.save(path)
    loaded = UvaPolicy.load(path)
    assert loaded.config == tiny_policy.config
    (before,), (after,) = (p.predict_actions([observation], [3]) for p in (tiny_policy, loaded))
    assert (before.poses == after.poses).all()
    assert not list(tmp_path.glob("*.part"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at .*nothing.safetensors"):
        UvaPolicy.load(tmp_path / "nothing.safetensors")


def test_a_truncated_file_is_refused(tmp_path, tiny_policy):
    path = tmp_path / "policy.safetensors"
    tiny_policy.save(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        UvaPolicy.load(path)


def test_a_pickle_is_refused_without_running_it(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'owned')!r}, 'w')",))

    path = tmp_path / "policy.safetensors"
    path.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(CheckpointError):
        UvaPolicy.load(path)
    assert not (tmp_path / "owned").exists()


def test_tensors_of_other_shapes_are_named_with_both_shapes(tmp_path, tiny_policy):
    path = tmp_path / "policy.safetensors"
    tiny_policy.save(path)
    tensors, config = checkpoint.load(path)
    tensors["model.fuse.bias"] = torch.zeros(7)
    del tensors["model.encoder_norm.bias"]
    tensors["model.extra"] = torch.zeros(1)
    checkpoint.save(path, tensors, config)
    with pytest.raises(CheckpointError) as error:
        UvaPolicy.load(path)
    for part in (
        "1 missing (model.encoder_norm.bias)",
        "1 unexpected (model.extra)",
        "model.fuse.bias (7,) instead of",
    ):
        assert part in str(error.value)


def test_a_file_without_our_configuration_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="no uva_core/1 checkpoint"):
        UvaPolicy.load(path)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("{", "no readable configuration"),
        ("[]", "no readable configuration: it must be a mapping, got []"),
        ("[" * 100_000, "no readable configuration: maximum recursion depth"),
        ('{"model": ' + "9" * 5000 + "}", "no readable configuration: Exceeds the limit"),
        (" " * 1_000_001, "a configuration of 1000001 characters"),
        ('{"model": 3}', "ModelConfig must be a mapping, got 3"),
        ('{"model": {"heads": 0}}', "heads is 0; choose 1 to 65536"),
        ('{"model": {"width": "wide"}}', "width must be a whole number, got 'wide'"),
        ('{"observation": {"resize": "cubic"}}', "unknown resize mode 'cubic'"),
        ('{"observation": {"smooth_actions": 2}}', "smooth_actions 2 is even"),
        ('{"observation": {"frame_offsets": [-4, -8, -2, 0]}}', "do not ascend"),
        ('{"sampling": {"action_steps": 1}}', "action_steps is 1; choose 2 to 1000"),
        ('{"tokenizer": {"image_size": 100}}', "image_size 100 is not divisible"),
    ],
)
def test_a_damaged_configuration_is_one_clear_error(tmp_path, config, text):
    path = tmp_path / "policy.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata={"format": checkpoint.FORMAT, "config": config})
    with pytest.raises(CheckpointError, match=re.escape(text)):
        UvaPolicy.load(path)


def test_weights_that_are_not_finite_are_refused(tmp_path, tiny_policy):
    path = tmp_path / "policy.safetensors"
    tiny_policy.save(path)
    tensors, config = checkpoint.load(path)
    tensors["model.fuse.bias"][0] = float("nan")
    checkpoint.save(path, tensors, config)
    with pytest.raises(CheckpointError, match="NaN or infinity in 1 tensors .model.fuse.bias"):
        UvaPolicy.load(path)


def test_integers_in_the_place_of_weights_are_refused(tmp_path, tiny_policy):
    path = tmp_path / "policy.safetensors"
    tensors = tiny_policy.state_dict() | {"model.fuse.bias": torch.ones(32, dtype=torch.int64)}
    checkpoint.save(path, tensors, to_dict(tiny_policy.config))
    with pytest.raises(CheckpointError, match=r"1 of another type .model.fuse.bias torch.int64"):
        UvaPolicy.load(path)


def test_a_network_that_the_file_does_not_hold_takes_no_memory(tmp_path):
    """It would be of 12 TB."""
    path = tmp_path / "policy.safetensors"
    config = {"model": {"width": 65_536, "heads": 64, "encoder_depth": 128, "decoder_depth": 128}}
    checkpoint.save(path, {"x": torch.zeros(1)}, config)
    with pytest.raises(CheckpointError, match="does not fit its configuration: .* missing"):
        UvaPolicy.load(path)


def test_a_folder_or_a_pipe_is_no_checkpoint(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for a writer
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(CheckpointError, match="is no regular file"):
            UvaPolicy.load(path)


def test_an_interrupted_save_leaves_the_old_file(tmp_path, tiny_policy, monkeypatch):
    def interrupted(tensors, path, metadata):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    path = tmp_path / "policy.safetensors"
    path.write_bytes(b"old")
    monkeypatch.setattr(checkpoint, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tiny_policy.save(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_text_of_a_file_is_escaped_and_cut_in_errors(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x", metadata={"format": "\x1b[2Kall is well\n" + "x" * 10_000})
    with pytest.raises(CheckpointError, match=r"its format: \\x1b\[2Kall is well\\n") as error:
        UvaPolicy.load(tmp_path / "x")
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 2100
