"""The programs are built once, whole or not at all, by one builder at a time."""

import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from ombak.sandbox import build, toolchain
from ombak.sandbox.build import BuildError, ensure_binaries
from ombak.sandbox.families import BINARIES, CONTROL_PLANE
from ombak.sandbox.process import wait_for

FAKE_GO = """#!/bin/sh
# Notes each build, and writes the program only at its end, as a slow compiler would.
echo "$@" >> {notes}
while [ "$1" != "-o" ]; do shift; done
{work}
echo "program $3" > "$2"
"""
BUILD_IN_A_PROCESS = """
import sys
from pathlib import Path
from ombak.sandbox import build
build.find_go = lambda: Path(sys.argv[1])
build.ensure_binaries(["etcd"], cache=Path(sys.argv[2]))
"""


def fake_go(folder: Path, work: str = "") -> Path:
    """A compiler that needs no time, and writes its command lines to `notes` beside it."""
    folder.mkdir(exist_ok=True)
    go = folder / "go"
    go.write_text(FAKE_GO.format(notes=folder / "notes", work=work))
    go.chmod(0o755)
    return go


def test_what_is_in_the_cache_is_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second call finds everything without asking for a compiler."""
    go = fake_go(tmp_path / "go")
    said: list[str] = []
    monkeypatch.setattr(build, "find_go", lambda: go)
    first = ensure_binaries(CONTROL_PLANE, said.append, tmp_path / "cache")
    monkeypatch.setattr(build, "find_go", lambda: pytest.fail("asked for a compiler"))
    second = ensure_binaries(CONTROL_PLANE, said.append, tmp_path / "cache")

    assert first == second
    assert all(path.read_text() == f"program {BINARIES[name].package}\n" for name, path in first.items())
    assert len((go.parent / "notes").read_text().splitlines()) == len(CONTROL_PLANE)


def test_progress_says_what_is_built_and_how_long_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody should wonder whether it hangs."""
    monkeypatch.setattr(build, "find_go", lambda: fake_go(tmp_path / "go"))
    said: list[str] = []
    ensure_binaries(["etcd", "prometheus"], said.append, tmp_path / "cache")

    assert "about 2.2 min on two cores" in said[0]
    assert said[1] == "sandbox: [1/2] etcd (etcd 3.6.16), from nothing about 26 s ..."
    assert said[-1].startswith("sandbox: [2/2] prometheus built in")


def test_failed_build_says_why_and_leaves_nothing_that_looks_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next call tries again."""
    bad = fake_go(tmp_path / "go", work='echo half > "$2"; echo "cannot find module" >&2; exit 1')
    monkeypatch.setattr(build, "find_go", lambda: bad)
    with pytest.raises(BuildError, match="building etcd failed:\ncannot find module"):
        ensure_binaries(["etcd"], lambda _: None, tmp_path / "cache")
    monkeypatch.setattr(build, "find_go", lambda: fake_go(tmp_path / "go"))

    assert ensure_binaries(["etcd"], lambda _: None, tmp_path / "cache")["etcd"].read_text() != "half\n"


def test_small_disk_is_refused_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how much is needed, and what for."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3.2e9))

    with pytest.raises(BuildError, match=r"needs about 8 GB \(Go modules 3, build cache 4\).* has 3.2 GB free"):
        ensure_binaries(["etcd"], lambda _: None, tmp_path / "cache")


def test_two_builders_wait_for_each_other(tmp_path: Path) -> None:
    """Both end well, and the program is built once: by the first, however late the second one comes."""
    may_end = tmp_path / "may-end"
    go = fake_go(tmp_path / "go", work=f"while [ ! -e {may_end} ]; do sleep 0.05; done")
    command = [sys.executable, "-c", BUILD_IN_A_PROCESS, str(go), str(tmp_path / "cache")]
    told = [tmp_path / "one", tmp_path / "two"]

    def waiting() -> int:
        return sum("another process is building" in said.read_text() for said in told)

    with ExitStack() as stack:
        stack.callback(may_end.touch)
        said = [stack.enter_context(path.open("w")) for path in told]
        builders = [subprocess.Popen(command, stderr=file) for file in said]
        wait_for("one to wait", lambda: waiting() == 1, timedelta(seconds=60))
    assert [builder.wait() for builder in builders] == [0, 0]
    assert len((go.parent / "notes").read_text().splitlines()) == 1
    assert waiting() == 1


def test_every_family_is_pinned() -> None:
    """Versions in the table are those of the go.mod files, which have checksums."""
    modules = {
        "kubernetes": "k8s.io/kubernetes v1.36.3",
        "etcd": "go.etcd.io/etcd/server/v3 v3.6.16",
        "kwok": "sigs.k8s.io/kwok v0.8.0",
        "prometheus": "github.com/prometheus/prometheus v0.313.5",
    }
    for binary in BINARIES.values():
        folder = binary.family.folder
        pinned = (folder / "go.mod").read_text()

        assert modules[binary.family.name] in pinned
        assert re.search(rf"^(tool |\t){re.escape(binary.package)}$", pinned, re.MULTILINE)
        assert modules[binary.family.name] in (folder / "go.sum").read_text()


def test_old_go_on_the_path_gives_way_to_the_packaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh machine may have an old Go, or none."""
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go version go1.19.8 linux/amd64\n")
    old.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(old))

    assert toolchain.find_go() != old


def test_missing_go_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on the path nor in the virtual environment."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(toolchain, "_packaged_go", lambda: None)

    with pytest.raises(toolchain.ToolMissingError, match=r"pip install 'ombak\[sandbox\]'"):
        toolchain.find_go()
