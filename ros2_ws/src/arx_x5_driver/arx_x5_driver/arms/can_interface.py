# SPDX-License-Identifier: Apache-2.0
"""The network interface of an arm: that it is there and up, and that one process at a time drives it.

An arm's process outlives a driver that was killed, until it has released the arm. A new driver must not talk to the
same motors meanwhile. The kernel releases the lock when its process has ended.
"""

from __future__ import annotations

import errno
import socket
import struct
from pathlib import Path

from arx_x5_driver.arm import ArmError

INTERFACES = Path("/sys/class/net")
"""Where the kernel lists network interfaces."""

_UP = 0x1  # IFF_UP of linux/if.h
_PREFIX = "\0arx_x5_driver/"  # abstract names leave no file behind, and are the network namespace's, as interfaces are
_BACKLOG = 4096  # those who ask who has the lock are never accepted
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid

_held: dict[str, socket.socket] = {}


def check_interface(name: str) -> None:
    """Raise `ArmError`, which says what to do, if there is no such interface or it is down."""
    is_can = name.startswith("can")
    up = f"`sudo ip link set {name} up{' type can bitrate 1000000' if is_can else ''}`"
    if not (INTERFACES / name).exists():
        kind = "CAN" if is_can else "network"
        raise ArmError(f"there is no {kind} interface '{name}': plug in the adapter, then {up}")
    if not int((INTERFACES / name / "flags").read_text(), 16) & _UP:
        raise ArmError(f"the interface '{name}' is down: {up}")


def lock_interface(name: str) -> None:
    """Keep other processes from an interface until this one ends. Raises `ArmError` if one of them has it."""
    if name in _held:
        return
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        lock.bind(_PREFIX + name)
    except OSError as error:
        lock.close()
        if error.errno != errno.EADDRINUSE:
            raise ArmError(f"cannot lock {name}: {error}") from error
        raise ArmError(
            f"{name} is in use by {_holder(name)} (it may still be releasing the arm): try again in a few seconds"
        ) from error
    lock.listen(_BACKLOG)
    _held[name] = lock


def _holder(name: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(_PREFIX + name)
        except OSError:
            return "another process"  # which has just ended, or not got as far as to listen
        credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return f"process {_CREDENTIALS.unpack(credentials)[0]}"
