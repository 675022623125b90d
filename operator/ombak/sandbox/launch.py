"""Starts one program that ends when its parent does, even when the parent is killed with SIGKILL.

Run as a file, with the standard library only: `python -IS launch.py MODE PARENT_PID PROGRAM ARGS...`. Mode
`death-signal` (Linux) asks the kernel and becomes the program; `supervise` (anywhere) stays, and kills the
program when its standard input, a pipe that only the parent holds open, comes to its end.
"""

import os
import select
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1


def main(mode: str, parent: int, command: list[str]) -> int:
    """Becomes or supervises `command`; returns only when supervising, with the program's exit code."""
    if mode == "death-signal":
        _die_with_parent(parent)
        os.execv(command[0], command)  # noqa: S606 - no shell wanted
    return _supervise(command)


def _die_with_parent(parent: int) -> None:
    # Only here: importing it costs 10 ms, and other systems lack the call.
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent ended before the program could start")


def _supervise(command: list[str]) -> int:
    # Heard from before the program is there: it may be told to end as soon as it says its first word.
    is_to_end: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: is_to_end.append(True))
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    if is_to_end:
        child.terminate()
    # Nothing is ever written to the pipe: readable means that the parent is gone.
    while child.poll() is None:
        if select.select([sys.stdin], [], [], 0.2)[0]:
            child.kill()
            break
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
