"""The folder of one region: data, configuration, logs; gone when the region stops, but for wanted logs."""

import fcntl
import shutil
import tempfile
from pathlib import Path

_PREFIX = "ombak-sandbox-"
_IN_USE = "in-use"
_KEPT = "logs-are-kept"


class Workdir:
    """A fresh folder `<parent>/ombak-sandbox-<name>-<random>`."""

    def __init__(self, name: str, parent: Path | None = None) -> None:
        """Makes the folder, and removes those whose owners were killed before they could."""
        base = parent or Path(tempfile.gettempdir())
        base.mkdir(parents=True, exist_ok=True)
        _remove_orphans(base)
        # Under another name until it is locked: whoever removes orphans at this moment would take it for one.
        made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}{name}-", dir=base))
        # The kernel lets go of the lock when we end, however we end.
        self._lock = (made / _IN_USE).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.path = made.rename(made.with_name(made.name.removeprefix(".")))
        self.logs = self.folder("logs")

    def folder(self, name: str) -> Path:
        """A folder inside, made on first use."""
        path = self.path / name
        path.mkdir(exist_ok=True)
        return path

    def remove(self, *, keep_logs: bool = False) -> None:
        """Removes everything, or everything but `logs/`. May be called twice."""
        try:
            self._empty(keep_logs=keep_logs)
        finally:
            # Not sooner: whoever removes orphans at this moment would take the logs.
            self._lock.close()

    def _empty(self, *, keep_logs: bool) -> None:
        if not self.path.exists():
            return
        if not keep_logs:
            shutil.rmtree(self.path, ignore_errors=True)
            return
        (self.path / _KEPT).touch()
        for entry in self.path.iterdir():
            if entry.is_dir() and entry != self.logs:
                shutil.rmtree(entry, ignore_errors=True)


def _remove_orphans(base: Path) -> None:
    for folder in base.glob(f"{_PREFIX}*"):
        if not (folder / _KEPT).exists() and _is_orphan(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_orphan(folder: Path) -> bool:
    try:
        with (folder / _IN_USE).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # In use, somebody else's, or made this very moment.
        return False
    return True
