# SPDX-License-Identifier: Apache-2.0
"""How a process ends before it has a node, and with its parent."""

import os
import signal
import subprocess
import sys

import pytest

CHILD = """
import signal, sys, time
from uva_node_utils.process import prepare_process
prepare_process()
if "node" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: (print("shut down in order", flush=True), sys.exit()))
print("ready", flush=True)
time.sleep(20)
print("still here", flush=True)
"""

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", *sys.argv[1:]])
time.sleep(20)
"""

# The parent ends while the child asks the kernel: the kernel then says nothing any more.
LATE = """
import ctypes, os
from types import SimpleNamespace
from uva_node_utils import process
parents = iter([os.getppid(), 1])
os.getppid = lambda: next(parents)
ctypes.CDLL = lambda *_, **__: SimpleNamespace(prctl=lambda *_: 0)
process.prepare_process()
print("started", flush=True)
"""


def start(*args: str, die: str | None) -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if name != "UVA_DIE_WITH_PARENT"}
    if die is not None:
        environment["UVA_DIE_WITH_PARENT"] = die
    return subprocess.Popen(
        [sys.executable, "-c", *args], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_modules_are_imported_ends_it_quietly(signum):
    process = start(CHILD, die=None)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signum)
    assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(("kind", "last_words"), [("import", ""), ("node", "shut down in order\n")])
def test_it_ends_in_order_with_its_parent(signum, kind, last_words):
    parent = start(PARENT, CHILD, kind, die="1")
    assert parent.stdout.readline() == "ready\n"
    parent.send_signal(signum)
    # The child holds the pipes open for as long as it lives.
    assert parent.communicate(timeout=10) == (last_words, "")


def test_it_outlives_its_parent_unless_told_otherwise():
    parent = start(PARENT, CHILD.replace("20", "1"), "node", die=None)
    assert parent.stdout.readline() == "ready\n"
    parent.kill()
    assert parent.communicate(timeout=10) == ("still here\n", "")


def test_a_parent_that_has_ended_already_is_noticed():
    out, err = (process := start(LATE, die="1")).communicate(timeout=10)
    assert (process.returncode, out) == (1, "")
    assert err == "the process that started this node has ended, so the node does not start\n"


def test_a_value_that_means_nothing_is_refused():
    out, err = (process := start(CHILD, die="yes")).communicate(timeout=10)
    assert (process.returncode, out) == (1, "")
    assert err.startswith("UVA_DIE_WITH_PARENT is 'yes': set it to 1, or to 0")
    assert err.count("\n") == 1
