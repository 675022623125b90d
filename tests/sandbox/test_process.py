"""Child processes: they die with us, and say why they ended."""

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from ombak.sandbox import process as processes
from ombak.sandbox.process import PortCollisionError, Process, SandboxError, free_ports, wait_for

MODES = [
    pytest.param(True, id="supervised"),
    pytest.param(
        False,
        id="by-death-signal",
        marks=[] if sys.platform == "linux" else pytest.mark.xfail(reason="Linux only", run=False),
    ),
]
# Starts a sleeper as a sandbox process, from a thread that ends at once, tells its pid, and goes on for ever.
PARENT = """
import sys, threading, time
from pathlib import Path
from ombak.sandbox.process import Process
child = Process("sleeper", ["/bin/sleep", "600"], Path(sys.argv[1]), supervised=sys.argv[2] == "True")
starter = threading.Thread(target=child.start)
starter.start()
starter.join()
print(child.pid, flush=True)
time.sleep(600)
"""
SOON = timedelta(seconds=10)


# Supervises a sleeper, and is told to end before it knows that the sleeper is there; says how that ended.
TOLD_EARLY = """
import os, signal, subprocess
from ombak.sandbox import launch
class Early(subprocess.Popen):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        os.kill(os.getpid(), signal.SIGTERM)
subprocess.Popen = Early
print(launch.main("supervise", os.getppid(), ["/bin/sleep", "20"]), flush=True)
"""
# Hands out most of a small range of ports.
OTHER = """
from ombak.sandbox import process
process._PORTS = range(32000, 32700)
print(*process.free_ports(400))
"""


def is_gone(pid: int) -> bool:
    """Whether no such process runs; one that waits to be reaped is gone too."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("supervised", MODES)
def test_child_dies_when_its_parent_is_killed(tmp_path: Path, supervised: bool) -> None:
    """SIGKILL to the parent, which can do nothing more, ends the child."""
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log"), str(supervised)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not is_gone(child)
        parent.kill()

        wait_for("the child's end", lambda: is_gone(child), SOON)


@pytest.mark.breadth
@pytest.mark.parametrize("supervised", MODES)
def test_child_outlives_the_thread_that_started_it(tmp_path: Path, supervised: bool) -> None:
    """A pool's worker may start a process and end."""
    child = Process("shell", ["/bin/sh", "-c", "echo up; exec sleep 600"], tmp_path / "log", supervised=supervised)

    def start() -> None:
        child.start()
        # Ends only now: the kernel looks at the thread that is there when the child asks for its signal.
        wait_for("the program", lambda: "up" in child.log.read_text(), SOON)

    starter = threading.Thread(target=start)
    starter.start()
    starter.join()
    with pytest.raises(SandboxError, match="end: not within"):
        wait_for("end", lambda: child.pid is None, timedelta(seconds=0.5))

    child.kill()


@pytest.mark.parametrize("supervised", MODES)
def test_kill_ends_the_program_and_may_be_repeated(tmp_path: Path, supervised: bool) -> None:
    """Nothing of the process's group is left, not even what the program started itself."""
    child = Process("shell", ["/bin/sh", "-c", "sleep 600 & wait"], tmp_path / "log", supervised=supervised)
    child.start()
    assert child.pid is not None
    wait_for("the sleeper", lambda: len(group_of(child.pid or 0)) >= 2, SOON)
    group = group_of(child.pid)
    child.kill()
    child.kill()

    assert child.pid is None
    wait_for("the whole group's end", lambda: all(is_gone(pid) for pid in group), SOON)


@pytest.mark.parametrize("supervised", MODES)
def test_stop_lets_the_program_end_in_order(tmp_path: Path, supervised: bool) -> None:
    """SIGTERM reaches the program before SIGKILL does."""
    script = "trap 'echo in order; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    child = Process("shell", ["/bin/sh", "-c", script], tmp_path / "log", supervised=supervised)
    child.start()
    wait_for("the trap", lambda: "up" in child.log.read_text(), SOON)
    child.stop(SOON)

    assert child.log.read_text() == "up\nin order\n"


def test_a_supervisor_passes_on_what_it_was_told_at_once() -> None:
    """Else it would end alone, and what it started would live on."""
    command = [sys.executable, "-c", TOLD_EARLY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == f"{-signal.SIGTERM}\n"


def test_check_shows_the_end_of_the_log(tmp_path: Path) -> None:
    """A program that ended by itself is reported with its code and last words."""
    child = Process("shell", ["/bin/sh", "-c", "echo out of luck; exit 3"], tmp_path / "log")
    child.start()

    with pytest.raises(SandboxError, match=r"shell ended with code 3(.|\n)*out of luck"):
        wait_for("luck", lambda: False, SOON, processes=[child])


def test_taken_port_is_told_apart(tmp_path: Path) -> None:
    """So that the start can be tried again with other ports."""
    script = "echo listen tcp 127.0.0.1:1: bind: address already in use; exit 1"
    child = Process("shell", ["/bin/sh", "-c", script], tmp_path / "log")
    child.start()

    with pytest.raises(PortCollisionError):
        wait_for("a port", lambda: False, SOON, processes=[child])


def test_missing_program_is_reported(tmp_path: Path) -> None:
    """The log says what could not be run."""
    child = Process("ghost", ["/no/such/program"], tmp_path / "log")
    child.start()

    with pytest.raises(SandboxError, match="No such file"):
        wait_for("a ghost", lambda: False, SOON, processes=[child])


def test_ports_are_never_handed_out_twice() -> None:
    """Planes that start at the same time do not get each other's ports."""
    ports = [port for _ in range(20) for port in free_ports(5)]

    assert len(set(ports)) == 100


def test_another_process_hands_out_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it has not used them yet, or has ended for a while what used them."""
    monkeypatch.setattr(processes, "_PORTS", range(32000, 32700))
    monkeypatch.setattr(processes, "_left", [])
    ours = free_ports(50)
    said = subprocess.run([sys.executable, "-c", OTHER], stdout=subprocess.PIPE, text=True, check=True).stdout

    assert not set(ours) & set(map(int, said.split()))


def group_of(leader: int) -> list[int]:
    """Pids of the leader's process group."""
    group = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == leader:
                group.append(process.pid)
        except ProcessLookupError:
            continue
    return group
