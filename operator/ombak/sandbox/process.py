"""Child processes on loopback: they log to files, die with us, and say why when they end too early."""

import contextlib
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Any

LAUNCHER = Path(__file__).with_name("launch.py")
SHORT_WAIT = timedelta(seconds=5)


class SandboxError(Exception):
    """Something of the sandbox did not start, stop or answer as it should; the message names the log."""


class PortCollisionError(SandboxError):
    """Another program took a port between our asking for it and our using it; starting again helps."""


class Process:
    """One program with its log file. `stop` and `kill` may be called at any time, twice too."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        supervised: bool = sys.platform != "linux",
    ) -> None:
        """Nothing runs yet. The log is appended to, so that a restart keeps what was said before."""
        self.name = name
        self.log = log
        self._command = [str(part) for part in command]
        self._mode = "supervise" if supervised else "death-signal"
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id (of the supervisor, where there is one), None unless running."""
        return self._popen.pid if self._popen and self._popen.poll() is None else None

    def start(self) -> None:
        """Starts the program; it may not be ready to serve yet."""
        if self.pid is None:
            self._popen = _SPAWNER.spawn(self._open)

    def stop(self, patience: timedelta = SHORT_WAIT) -> None:
        """SIGTERM, and SIGKILL for what is still there after `patience`."""
        if self._popen and self._popen.poll() is None:
            self._popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(patience.total_seconds())
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the program and whatever it started, and waits until it is gone."""
        if self._popen is None:
            return
        if self._popen.poll() is None:
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        if self._popen.stdin:
            self._popen.stdin.close()

    def check(self) -> None:
        """Raises SandboxError with the end of the log if the program has ended by itself."""
        if self._popen is None or self._popen.poll() is None:
            return
        end = self.log.read_bytes()[-2000:].decode(errors="replace")
        kind = PortCollisionError if "address already in use" in end else SandboxError
        raise kind(f"{self.name} ended with code {self._popen.returncode}; log {self.log}:\n{end}")

    def _open(self) -> subprocess.Popen[bytes]:
        launcher = [sys.executable, "-IS", str(LAUNCHER), self._mode, str(os.getpid())]
        stdin = subprocess.PIPE if self._mode == "supervise" else subprocess.DEVNULL
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal goes to us alone, and one signal reaches the group.
            return subprocess.Popen(
                launcher + self._command,
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


class _Spawner:
    """One thread that lives as long as the process and starts every child.

    The kernel sends the parent-death signal when the *thread* that started the child ends, so a child started
    by a pool's worker would die with the worker.
    """

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def spawn(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._serve, name="sandbox-spawner", daemon=True)
                self._thread.start()
        result: Future[subprocess.Popen[bytes]] = Future()
        self._orders.put((start, result))
        return result.result()

    def _serve(self) -> None:
        while True:
            start, result = self._orders.get()
            try:
                result.set_result(start())
            except Exception as error:
                # Handed to the one who asked.
                result.set_exception(error)


_SPAWNER = _Spawner()


def wait_for(
    what: str,
    ready: Callable[[], bool],
    timeout: timedelta,
    *,
    processes: Sequence[Process] = (),
    every: timedelta = timedelta(milliseconds=50),
) -> None:
    """Returns when `ready()` holds; OSError from it counts as not yet.

    Raises SandboxError after `timeout`, and at once when one of `processes` has ended.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    while not _holds(ready):
        for process in processes:
            process.check()
        if time.monotonic() > deadline:
            logs = ", ".join(str(process.log) for process in processes)
            raise SandboxError(f"{what}: not within {timeout.total_seconds():.0f} s; logs: {logs or 'none'}")
        time.sleep(every.total_seconds())


def _holds(ready: Callable[[], bool]) -> bool:
    try:
        return ready()
    except OSError:
        return False


# Below the range from which kernels take ports for outgoing connections (32768 on Linux, 49152 elsewhere): a
# server that is killed and started again on its port must find it free.
_PORTS = range(20000, 32000)
_BLOCK = 100
_left: list[int] = []
_ports_lock = threading.Lock()


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that nothing listens on, each handed out once, and by no other process while this one lives.

    Raises SandboxError when none is left.
    """
    found: list[int] = []
    with _ports_lock:
        while len(found) < count:
            if not _left:
                _left.extend(_own_block())
            port = _left.pop()
            if _is_free(port):
                found.append(port)
    return found


def _own_block() -> range:
    """Some ports for this process alone; a UDP socket on the first one, where nothing else is served, says so."""
    for first in random.SystemRandom().sample(_PORTS[::_BLOCK], len(_PORTS) // _BLOCK):
        mark = socket.socket(type=socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", first))
        except OSError:
            mark.close()
            continue
        mark.detach()  # open until this process ends, however it ends
        return range(first, first + _BLOCK)
    raise SandboxError(f"no port between {_PORTS[0]} and {_PORTS[-1]} is left; end some of what was started")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
