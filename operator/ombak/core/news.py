"""When a change of a status is worth a write: transitions at once, counts and texts now and then (design 5)."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ombak.api.rollout import Phase
from ombak.core.alarm_views import has_news
from ombak.core.failures import Status
from ombak.core.memory import ZERO, Memory, Release, load_memory
from ombak.core.plan import Waiting

IN_FLIGHT = {
    Phase.INSTALLING,
    Phase.BLOCKED,
    Phase.ONE_BOX,
    Phase.ONE_BOX_BAKE,
    Phase.ROLLING,
    Phase.BAKE,
    Phase.REVERTING,
}
"""Phases in which something is on its way, or waits for it."""
DEADLINE_STORED = timedelta(minutes=1)
"""A deadline that runs is stored so often: what a restart finds older than this was not seen, and does not count."""
_COUNTS = ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas", "selector")


def is_urgent(old: Mapping[str, Any], new: Status, bake: timedelta) -> bool:
    """A transition: it is written at once. Counts and texts alone are not (see `is_stale`).

    Bake time is stored every 5 minutes or 5 % of `bake`, whichever is longer: a crash loses no more.
    """
    before, after = load_memory(old.get("memory")), load_memory(new.get("memory"))
    if _essence(old, before) != _essence(new, after):
        return True
    return _accrued(after) - _accrued(before) >= max(timedelta(minutes=5), bake / 20)


def is_first_trouble(old: Mapping[str, Any], waiting: Waiting | None) -> bool:
    """Boxes that are waited for cannot be made, and nothing was told of any trouble: that is a transition too.

    What pods say is not, for those that only take their time say something as well.
    """
    return waiting is not None and waiting.is_unmade and not _trouble(old)


def is_stale(old: Mapping[str, Any], new: Status) -> bool:
    """Counts differ, or in flight a text does: it is written when the last write is some seconds old.

    So is a deadline that runs, every minute: a crash loses no more of it, unless many wait for a turn to write.
    """
    if any(old.get(name) != new.get(name) for name in _COUNTS) or _deadline_runs_on(old, new):
        return True
    if new["phase"] not in {p.value for p in IN_FLIGHT}:
        return False
    seen, told = old.get("progress") or {}, new.get("progress") or {}
    if seen.get("boxes") != told.get("boxes"):
        return True
    if has_news(old, new):
        return True
    return _trouble(old) != _trouble(new) or _opening(old) != _opening(new)


def _opening(status: Mapping[str, Any]) -> object:
    """When a change that has not started is expected to: somebody may have changed a Window or a Blocker."""
    is_blocked = status.get("phase") == Phase.BLOCKED.value
    return (status.get("waitingFor") or {}).get("expected") if is_blocked else None


def _trouble(status: Mapping[str, Any]) -> str:
    """What is told after the colon of a wait for boxes: why they do not come up."""
    what = str((status.get("waitingFor") or {}).get("what") or "")
    return what.partition(": ")[2] if what.startswith("boxes of ") else ""


def _essence(status: Mapping[str, Any], memory: Memory) -> object:
    """What makes two statuses tell the same story, whatever their numbers."""
    conditions = [
        (c.get("type"), c.get("status"), c.get("reason"))
        for c in status.get("conditions") or []
        if isinstance(c, Mapping)
    ]
    release, reverting = memory.release, memory.reverting
    return (
        status.get("observedGeneration"),
        status.get("phase"),
        status.get("artifacts") or {},
        status.get("override"),
        memory.wait and memory.wait.key,
        memory.unrecorded,
        release
        and (
            *(release.artifact, release.mode, _place(release), release.step.number),
            *(release.unknown_since is None, release.baseline),
        ),
        reverting and (reverting.source, reverting.target, reverting.forced),
        conditions,
    )


def _place(release: Release) -> object:
    """The approved share; for which zones it was made an older version did not write, and that is no news."""
    return release.position.segment, release.position.boxes, release.position.of


def _is_counting(memory: Memory) -> bool:
    """Boxes that were asked for do not serve, and their time runs."""
    return memory.reverting is not None or (memory.release is not None and memory.release.step.down_since is not None)


def _deadline_runs_on(old: Mapping[str, Any], new: Status) -> bool:
    if not all("seenAt" in (status.get("memory") or {}) for status in (old, new)):
        return False  # no deadline runs, or none did: most passes, which need not read any memory for it
    before, after = load_memory(old.get("memory")), load_memory(new.get("memory"))
    return _is_counting(after) and _seen_apart(before, after) >= DEADLINE_STORED


def _seen_apart(before: Memory, after: Memory) -> timedelta:
    return after.seen_at - before.seen_at if before.seen_at and after.seen_at else ZERO


def _accrued(memory: Memory) -> timedelta:
    return memory.release.step.ledger.accrued if memory.release else ZERO
