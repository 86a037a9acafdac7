# SPDX-License-Identifier: Apache-2.0
"""Processes live and die together, and none is left behind."""

import os
import signal
import sys
import textwrap
import time

import psutil
import pytest

from uva_bringup import supervisor as supervisor_module
from uva_bringup.supervisor import Supervisor, describe_exit

pytestmark = pytest.mark.system

SLEEP = "import time; print('ready', flush=True); time.sleep(60)"
IGNORE = "import signal; [signal.signal(s, signal.SIG_IGN) for s in {signals}]; " + SLEEP


@pytest.fixture(autouse=True)
def short_graces(monkeypatch):
    monkeypatch.setattr(supervisor_module, "SIGINT_GRACE_S", 0.5)
    monkeypatch.setattr(supervisor_module, "SIGTERM_GRACE_S", 0.5)


class Lines(list):
    """Collects (label, line) and tells which processes have said that they are ready."""

    def add(self, label: str, line: str) -> None:
        self.append((label, line))

    def ready(self, *labels: str) -> bool:
        return all((label, "ready") in self for label in labels)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_output_arrives_by_line_with_both_streams_and_a_last_line_without_end(python, eventually):
    code = "import sys; print('one\\ntwo', flush=True); sys.stderr.write('three')"
    lines = Lines()
    with Supervisor([python("a", code)], lines.add) as supervisor:
        assert eventually(lambda: supervisor.deaths() != [])
    assert lines == [("a", "one"), ("a", "two"), ("a", "three")]
    assert supervisor.deaths()[0].last_lines == ("one", "two", "three")


def test_stop_ends_all_and_names_none_when_they_obey(python, eventually):
    lines = Lines()
    with Supervisor([python("a", SLEEP), python("b", SLEEP)], lines.add) as supervisor:
        assert eventually(lambda: lines.ready("a", "b"))
        assert supervisor.stop() == []
        assert supervisor.deaths() == []
    assert not any(alive(pid) for pid in supervisor.pids.values())


@pytest.mark.parametrize(("ignored", "killed"), [((2,), []), ((2, 15), ["a"])])
def test_stop_presses_harder_on_those_that_do_not_obey(python, eventually, ignored, killed):
    lines = Lines()
    with Supervisor([python("a", IGNORE.format(signals=ignored))], lines.add) as supervisor:
        assert eventually(lambda: lines.ready("a"))
        assert supervisor.stop() == killed
    assert not alive(supervisor.pids["a"])


def test_hurry_skips_waiting(python, eventually, monkeypatch):
    monkeypatch.setattr(supervisor_module, "SIGINT_GRACE_S", 30.0)
    lines = Lines()
    with Supervisor([python("a", IGNORE.format(signals=(2,)))], lines.add) as supervisor:
        assert eventually(lambda: lines.ready("a"))
        started_s = time.monotonic()
        supervisor.stop(hurry=lambda: True)
    assert time.monotonic() - started_s < 10.0


def test_death_is_due_at_once_or_after_its_linger(python, eventually):
    commands = [python("quick", SLEEP), python("slow", SLEEP, linger_s=0.6)]
    lines = Lines()
    with Supervisor(commands, lines.add) as supervisor:
        assert eventually(lambda: lines.ready("quick", "slow"))
        os.kill(supervisor.pids["slow"], signal.SIGKILL)
        assert eventually(lambda: supervisor.deaths() != [])
        assert supervisor.due_death() is None
        assert alive(supervisor.pids["quick"])
        assert eventually(lambda: supervisor.due_death() is not None, timeout_s=2.0)
        assert str(supervisor.due_death()) == "slow was killed by SIGKILL"


def test_second_death_without_linger_does_not_wait_for_the_first(python, eventually):
    commands = [python("quick", SLEEP), python("slow", SLEEP, linger_s=60.0)]
    lines = Lines()
    with Supervisor(commands, lines.add) as supervisor:
        assert eventually(lambda: lines.ready("quick", "slow"))
        os.kill(supervisor.pids["slow"], signal.SIGKILL)
        assert eventually(lambda: len(supervisor.deaths()) == 1)
        os.kill(supervisor.pids["quick"], signal.SIGKILL)
        assert eventually(lambda: supervisor.due_death() is not None)
        assert supervisor.due_death().label == "quick"


def test_children_of_a_process_end_with_it(python, eventually):
    code = f"""
        import subprocess, sys, time
        child = subprocess.Popen([sys.executable, '-I', '-S', '-c', {SLEEP!r}])
        print(child.pid, flush=True)
        time.sleep(60)
    """
    lines = Lines()
    with Supervisor([python("a", textwrap.dedent(code))], lines.add):
        assert eventually(lambda: lines.ready("a"))
        child = int(next(line for _, line in lines if line.isdigit()))
        assert alive(child)
    assert eventually(lambda: not alive(child))


def test_nothing_starts_when_one_cannot(python, eventually):
    missing = supervisor_module.Command("b", ["/nonexistent/program"])
    supervisor = Supervisor([python("a", SLEEP), missing], Lines().add)
    with pytest.raises(FileNotFoundError), supervisor:
        pass
    assert not alive(supervisor.pids["a"])


@pytest.mark.skipif(sys.platform != "linux", reason="relies on Linux telling children of their parent's death")
@pytest.mark.parametrize("ignored", [(), (2, 15)], ids=["obeying", "deaf"])
def test_nothing_is_left_when_the_supervisor_itself_is_killed(tmp_path, python, eventually, ignored):
    script = tmp_path / "supervise.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys, time
        from uva_bringup.supervisor import Command, Supervisor
        code = {IGNORE.format(signals=ignored)!r}
        command = Command("a", [sys.executable, "-I", "-S", "-c", code])
        with Supervisor([command], lambda *_: print("ready", flush=True)) as supervisor:
            print(supervisor.pids["a"], supervisor._guardian.pid, flush=True)
            time.sleep(60)
        """)
    )
    lines = Lines()
    outer = supervisor_module.Command("outer", [sys.executable, str(script)])
    with Supervisor([outer], lines.add) as supervisor:
        assert eventually(lambda: lines.ready("outer") and len(lines) == 2)
        inner, guardian = map(int, next(line for _, line in lines if line != "ready").split())
        os.kill(supervisor.pids["outer"], signal.SIGKILL)
        assert eventually(lambda: not alive(inner) and not alive(guardian), timeout_s=15.0)


def test_lines_that_nobody_takes_block_no_process_and_are_reported_once(python, eventually, caplog):
    def full(label: str, line: str) -> None:
        raise OSError("no space left on device")

    code = "for n in range(30_000): print('x' * 100)\nprint('done')"  # far more than a pipe holds
    with Supervisor([python("a", code)], full) as supervisor:
        assert eventually(lambda: supervisor.deaths() != [])
        assert supervisor.deaths()[0].last_lines[-1] == "done"
    assert [record.getMessage() for record in caplog.records] == [
        "the output of the processes is lost from here on: no space left on device"
    ]


def test_exits_are_described():
    assert describe_exit(3) == "exited with code 3"
    assert describe_exit(-11) == "was killed by SIGSEGV"
