# SPDX-License-Identifier: Apache-2.0
"""One process at a time drives an interface that is there and up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from arx_x5_driver.arm import ArmError
from arx_x5_driver.arms import can_interface
from arx_x5_driver.arms.can_interface import check_interface, lock_interface

LOCKING = (
    "import sys; from arx_x5_driver.arms.can_interface import lock_interface; "
    "lock_interface(sys.argv[1]); print('locked', flush=True); sys.stdin.read()"
)


def test_two_processes_do_not_drive_one_interface() -> None:
    name = f"can{os.getpid()}"
    other = subprocess.Popen(
        [sys.executable, "-c", LOCKING, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout is not None and other.stdout.readline() == "locked\n"
        for _ in range(3):
            with pytest.raises(ArmError) as error:
                lock_interface(name)
            assert str(error.value) == (
                f"{name} is in use by process {other.pid} (it may still be releasing the arm): "
                "try again in a few seconds"
            )
        os.kill(other.pid, signal.SIGKILL)
    for _ in range(2):
        lock_interface(name)
    third = subprocess.run([sys.executable, "-c", LOCKING, name], capture_output=True, text=True, timeout=30)
    assert f"{name} is in use by process {os.getpid()}" in third.stderr


def test_interfaces_that_are_missing_or_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(can_interface, "INTERFACES", tmp_path)
    for name in ("can0", "eth7"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "flags").write_text("0x1002\n")
    for name, message in {
        "can0": "the interface 'can0' is down: `sudo ip link set can0 up type can bitrate 1000000`",
        "eth7": "the interface 'eth7' is down: `sudo ip link set eth7 up`",
        "can1": "there is no CAN interface 'can1': plug in the adapter, then `sudo ip link set can1 up type can",
        "enx1": "there is no network interface 'enx1': plug in the adapter, then `sudo ip link set enx1 up`",
    }.items():
        with pytest.raises(ArmError) as error:
            check_interface(name)
        assert str(error.value).startswith(message)
