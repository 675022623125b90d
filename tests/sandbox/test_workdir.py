"""The folder of a region: gone with its region, however that ended."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from ombak.sandbox import workdir as workdirs
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


def test_logs_that_are_just_being_kept_are_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process makes its own folder in the moment before these are marked."""
    workdir, touch = Workdir("one", tmp_path), Path.touch

    def late(path: Path) -> None:
        monkeypatch.setattr(Path, "touch", touch)
        Workdir("other", tmp_path).remove()
        touch(path)

    monkeypatch.setattr(Path, "touch", late)
    workdir.remove(keep_logs=True)

    assert workdir.logs.exists()


def test_folder_of_a_killed_owner_is_removed_by_the_next(tmp_path: Path) -> None:
    """Whoever was killed could not clean up; a folder in use is not touched."""
    script = "import os,sys,pathlib; from ombak.sandbox.workdir import Workdir"
    script += "; w = Workdir('dead', pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    alive = Workdir("alive", tmp_path)
    other = Workdir("other", tmp_path)

    assert sorted(tmp_path.iterdir()) == sorted([alive.path, other.path])


def test_a_folder_that_is_just_being_made_is_no_orphan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process makes its own in the moment before this one is locked."""
    flock = fcntl.flock

    def late(file: object, how: int) -> None:
        monkeypatch.setattr(workdirs.fcntl, "flock", flock)
        Workdir("other", tmp_path).remove()
        flock(file, how)  # type: ignore[arg-type]

    monkeypatch.setattr(workdirs.fcntl, "flock", late)

    assert Workdir("one", tmp_path).logs.exists()
