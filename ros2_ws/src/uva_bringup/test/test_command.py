# SPDX-License-Identifier: Apache-2.0
"""From a description to a command line."""

from pathlib import Path

import pytest
import yaml

from uva_bringup.command import ExecutableNotFoundError, command_line, find_executable
from uva_bringup.stack import NodeSpec


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """An install prefix with one package that has one executable."""
    (tmp_path / "share/ament_index/resource_index/packages").mkdir(parents=True)
    (tmp_path / "share/ament_index/resource_index/packages/talks").touch()
    (tmp_path / "lib/talks").mkdir(parents=True)
    (tmp_path / "lib/talks/talker").touch(mode=0o755)
    (tmp_path / "lib/talks/data").touch(mode=0o644)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    return tmp_path


def test_executable_is_found_below_the_package(prefix):
    assert find_executable("talks", "talker") == prefix / "lib/talks/talker"


@pytest.mark.parametrize(
    ("package", "executable", "message"),
    [
        ("listens", "talker", "package 'listens' is not in AMENT_PREFIX_PATH"),
        ("talks", "talk", "package 'talks' has no executable 'talk' in .*lib/talks"),
        ("talks", "data", "package 'talks' has no executable 'data'"),
    ],
)
def test_missing_executable_says_where_it_was_sought(prefix, package, executable, message):
    with pytest.raises(ExecutableNotFoundError, match=message):
        find_executable(package, executable)


def test_command_line_holds_everything_with_own_parameters_last(prefix, tmp_path):
    spec = NodeSpec(
        package="talks",
        executable="talker",
        name="speaker",
        namespace="left",
        parameter_files=(Path("/etc/a.yaml"),),
        parameters={"speaker": {"rate": 2.0}},
        remappings=(("chatter", "/noise"),),
        arguments=("-d", "file"),
        log_level="warn",
    )
    own = tmp_path / "speaker.yaml"
    assert command_line(spec, tmp_path) == [
        str(prefix / "lib/talks/talker"),
        *("-d", "file", "--ros-args"),
        *("-r", "__node:=speaker", "-r", "__ns:=/left", "-r", "chatter:=/noise"),
        *("--params-file", "/etc/a.yaml", "--params-file", str(own)),
        *("--log-level", "warn"),
    ]
    assert yaml.safe_load(own.read_text()) == {"/**/**/speaker": {"ros__parameters": {"rate": 2.0}}}


def test_process_with_several_nodes_is_not_renamed(prefix, tmp_path):
    spec = NodeSpec(package="talks", executable="talker", name=None)
    assert command_line(spec, tmp_path) == [str(prefix / "lib/talks/talker"), "--ros-args", "--log-level", "info"]
