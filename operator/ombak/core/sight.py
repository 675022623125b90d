"""Only time that was seen counts against boxes: a deadline stands still while nobody can tell how they fare.

While the API server or the operator is away, neither controllers nor kubelets can be relied on to have worked, and
nobody knows what they did. So each decision moves the deadlines that run for boxes by what was not seen since the one
before, as the ledger of a bake leaves out what was not proven.
"""

import dataclasses
from datetime import datetime, timedelta

from ombak.core.memory import ZERO, Memory, Release, Reverting
from ombak.core.snapshot import Snapshot

LOOKS_APART = timedelta(seconds=65)
"""Boxes are looked at again, and what the API server refuses is tried again, in less than that; nothing else may
happen meanwhile. Longer ago is unseen, even where nobody was cut off."""
BOXES_AGAIN = timedelta(minutes=1)
"""While only boxes are waited for, what happens to them is news at once: a look without news serves the deadline, and
counts whole, for it is less than `LOOKS_APART`."""


def seen(memory: Memory, now: datetime) -> Memory:
    """Return the memory with the moment of this look, if a deadline runs for some boxes."""
    release = memory.release
    runs = memory.reverting is not None or (release is not None and release.step.available_since is None)
    return dataclasses.replace(memory, seen_at=now if runs else None)


def counted(s: Snapshot) -> timedelta:
    """Return how much of the time since the decision before counts as seen."""
    return max(ZERO, min((s.elapsed or ZERO) - s.cut_off, _longest(s)))


def without_unseen(s: Snapshot, now: datetime) -> Snapshot:
    """Return the snapshot with every deadline for boxes moved by the time that nobody saw."""
    missed = _missed(s, now)
    if missed <= ZERO:
        return s
    memory, release, reverting = s.memory, s.memory.release, s.memory.reverting
    memory = dataclasses.replace(
        memory,
        release=release and _moved(release, missed, now),
        reverting=reverting and _moved_back(reverting, missed, now),
    )
    return dataclasses.replace(s, memory=memory)


def _missed(s: Snapshot, now: datetime) -> timedelta:
    """Return the time since the boxes were last looked at, less what is seen.

    A process that has just begun saw nothing of it. Passes that failed leave the memory as it was, so that the
    time since then grows beyond two polls; those that needed no answer of the API server are told by `cut_off`.
    """
    before = s.memory.seen_at
    if before is None:
        return ZERO
    since = now - before
    return since if s.elapsed is None else max(since - _longest(s), min(since, s.cut_off))


def _longest(s: Snapshot) -> timedelta:
    """Two polls, as in a bake; where alarms are asked often, no less than between two looks at boxes."""
    return max(2 * s.poll, LOOKS_APART)


def _moved(release: Release, by: timedelta, now: datetime) -> Release:
    step = release.step
    down_since = None if step.down_since is None else min(now, step.down_since + by)
    step = dataclasses.replace(step, progress_at=min(now, step.progress_at + by), down_since=down_since)
    return dataclasses.replace(release, step=step)


def _moved_back(reverting: Reverting, by: timedelta, now: datetime) -> Reverting:
    return dataclasses.replace(reverting, progress_at=min(now, reverting.progress_at + by))
