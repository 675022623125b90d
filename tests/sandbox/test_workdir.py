"""The folder of a region: gone with its region, however that ended."""

import fcntl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from ombak.sandbox import workdir as module
from ombak.sandbox.workdir import Workdir


def test_nothing_is_left_after_remove(tmp_path: Path) -> None:
    """Removing twice does no harm."""
    workdir = Workdir("one", tmp_path)
    (workdir.folder("data") / "file").write_text("x")
    workdir.remove()
    workdir.remove()

    assert list(tmp_path.iterdir()) == []


def test_only_logs_are_kept_on_request(tmp_path: Path) -> None:
    """Data go, logs stay, and the next region does not take them for litter."""
    workdir = Workdir("one", tmp_path)
    (workdir.folder("data") / "file").write_text("x")
    (workdir.logs / "etcd.log").write_text("words")
    workdir.remove(keep_logs=True)
    Workdir("two", tmp_path).remove()

    assert (workdir.logs / "etcd.log").read_text() == "words"
    assert not (workdir.path / "data").exists()


def test_folder_of_a_killed_owner_is_removed_by_the_next(tmp_path: Path) -> None:
    """Whoever was killed could not clean up; a folder in use is not touched."""
    script = "import os,sys,pathlib; from ombak.sandbox.workdir import Workdir"
    script += "; w = Workdir('dead', pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    alive = Workdir("alive", tmp_path)
    other = Workdir("other", tmp_path)

    assert sorted(tmp_path.iterdir()) == sorted([alive.path, other.path])


def test_a_folder_that_is_made_at_this_moment_is_nobodys_orphan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regions that start at the same time do not remove each other's folders before they are locked."""
    locks: Callable[[IO[Any], int], None] = fcntl.flock

    def late(file: IO[Any], operation: int) -> None:
        if operation == fcntl.LOCK_EX:
            monkeypatch.setattr(fcntl, "flock", locks)
            module._remove_orphans(tmp_path)
        locks(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    made = Workdir("one", tmp_path)

    assert made.logs.is_dir()
    made.remove()
