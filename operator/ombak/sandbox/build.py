"""Builds the control plane's binaries once into the user's cache, keyed by versions and platform."""

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import platformdirs

from ombak.sandbox.families import BINARIES, CONTROL_PLANE, Binary, Family
from ombak.sandbox.toolchain import find_go

NEEDED_GB = 8.0
"""Go modules take 3 GB, Go's build cache 4 GB, the binaries half a GB."""

Progress = Callable[[str], None]


class BuildError(Exception):
    """The binaries could not be built; the message says why, with the end of the compiler's output."""


def cache_folder() -> Path:
    """Where built binaries live: the user's cache (XDG on Linux), never the checkout."""
    return platformdirs.user_cache_path("ombak") / "sandbox"


def ensure_binaries(
    names: Sequence[str] = CONTROL_PLANE, progress: Progress | None = None, cache: Path | None = None
) -> dict[str, Path]:
    """Paths of the named binaries, building those that the cache lacks (all: 7.5 minutes on two cores).

    Two builders at once wait for each other. Raises BuildError, ToolMissingError.
    """
    say = progress or _to_stderr
    root = cache or cache_folder()
    paths = {name: _target(BINARIES[name], root) for name in names}
    if all(path.exists() for path in paths.values()):
        return paths
    root.mkdir(parents=True, exist_ok=True)
    with _only_builder(root, say):
        _build_missing([(BINARIES[name], path) for name, path in paths.items() if not path.exists()], root, say)
    return paths


def _target(binary: Binary, root: Path) -> Path:
    family = binary.family
    machine = f"{sys.platform}-{platform.machine()}"
    return root / f"{family.name}-{family.version}-{machine}-{_digest(family)}" / binary.name


def _digest(family: Family) -> str:
    """Everything else that decides what comes out: pinned modules, linker flags, tags."""
    hasher = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        hasher.update((family.folder / name).read_bytes())
    hasher.update(f"{family.ldflags}|{family.tags}".encode())
    return hasher.hexdigest()[:10]


def _build_missing(missing: Sequence[tuple[Binary, Path]], root: Path, say: Progress) -> None:
    if not missing:
        return
    _check_disk(root)
    go = find_go()
    minutes = sum(binary.usually.total_seconds() for binary, _ in missing) / 60
    say(
        f"sandbox: building {len(missing)} programs with {go} into {root}; from nothing about"
        f" {minutes:.1f} min on two cores (this machine has {os.cpu_count() or 1}), and only once"
    )
    for index, (binary, path) in enumerate(missing, start=1):
        at = f"sandbox: [{index}/{len(missing)}] {binary.name}"
        seconds = binary.usually.total_seconds()
        say(f"{at} ({binary.family.name} {binary.family.version}), from nothing about {seconds:.0f} s ...")
        begun = time.monotonic()
        _build(binary, path, go)
        say(f"{at} built in {time.monotonic() - begun:.0f} s")


def _build(binary: Binary, path: Path, go: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    command = [str(go), "build", "-mod=readonly", "-trimpath", "-ldflags", binary.family.ldflags]
    command += ["-tags", binary.family.tags] if binary.family.tags else []
    command += ["-o", str(unfinished), binary.package]
    # A workspace or a C compiler of the user must not change what comes out.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    result = subprocess.run(
        command, cwd=binary.family.folder, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise BuildError(f"building {binary.name} failed:\n{result.stderr[-3000:]}")
    unfinished.rename(path)


def _check_disk(root: Path) -> None:
    for folder in {root, Path.home()}:
        free = shutil.disk_usage(folder).free / 1e9
        if free < NEEDED_GB:
            raise BuildError(
                f"building the control plane needs about {NEEDED_GB:.0f} GB (Go modules 3, build cache 4),"
                f" but {folder} has {free:.1f} GB free"
            )


@contextlib.contextmanager
def _only_builder(root: Path, say: Progress) -> Iterator[None]:
    with (root / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("sandbox: another process is building the same programs; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
